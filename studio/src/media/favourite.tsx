import { Heart } from "lucide-react";
import { useFavourite } from "@/api/actions";
import type { Job } from "@/api/client";
import { useMessages } from "@/messages";
import { Button } from "@/ui/button";
import { cx } from "@/ui/cx";

interface Props {
  job: Job;
  size?: "sm" | "md";
  tabIndex?: number;
  className?: string;
}

export function FavouriteButton({ job, size = "sm", tabIndex, className }: Props) {
  const messages = useMessages();
  const favourite = useFavourite();
  const isOn = job.is_favourite;
  const label = isOn ? messages.media.unfavourite : messages.media.favourite;
  return (
    // A plain hint: hundreds of these come and go while a library scrolls.
    <Button
      size={size}
      variant="ghost"
      title={label}
      aria-label={messages.media.favourite}
      aria-pressed={isOn}
      tabIndex={tabIndex}
      icon={
        <Heart
          size={size === "sm" ? 16 : 18}
          fill={isOn ? "currentColor" : "none"}
          className={cx(isOn && "text-bad")}
        />
      }
      onClick={() => favourite.mutate({ job, is_favourite: !isOn })}
      className={cx("px-0!", size === "sm" ? "w-8" : "w-9", className)}
    />
  );
}
