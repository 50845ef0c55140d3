import { DropdownMenu } from "radix-ui";
import type { ReactElement, ReactNode } from "react";
import { cx } from "@/ui/cx";
import { useOwnLayer } from "@/ui/layers";

export interface MenuItem {
  label: string;
  icon?: ReactNode;
  onSelect(): void;
  isDanger?: boolean;
  isDisabled?: boolean;
  isChecked?: boolean;
}

type Items = readonly (MenuItem | null)[];

/** Actions behind one button. `null` draws a line. */
export function Menu({
  trigger,
  items,
}: {
  trigger: ReactElement;
  /** Or what makes them when it opens. */
  items: Items | (() => Items);
}) {
  const layer = useOwnLayer();
  return (
    <DropdownMenu.Root modal={false}>
      <DropdownMenu.Trigger asChild>{trigger}</DropdownMenu.Trigger>
      <DropdownMenu.Portal container={layer}>
        <DropdownMenu.Content
          align="end"
          sideOffset={6}
          collisionPadding={8}
          className="z-50 min-w-48 rounded-xl border border-line bg-raised p-1 shadow-pop"
        >
          <Entries items={items} />
        </DropdownMenu.Content>
      </DropdownMenu.Portal>
    </DropdownMenu.Root>
  );
}

function Entries({ items }: { items: Items | (() => Items) }) {
  const shown = typeof items === "function" ? items() : items;
  return (
    <>
      {shown.map((item, index) =>
        item === null ? (
          <DropdownMenu.Separator key={index} className="my-1 h-px bg-line" />
        ) : (
          <DropdownMenu.Item
            key={item.label}
            disabled={item.isDisabled}
            onSelect={item.onSelect}
            className={cx(
              "flex h-8 items-center gap-2.5 rounded-md px-2.5 text-[13px] outline-none select-none data-disabled:opacity-45 data-highlighted:bg-sunken",
              item.isDanger ? "text-bad" : "text-ink",
            )}
          >
            {item.icon && <span className="text-muted">{item.icon}</span>}
            <span className="flex-1">{item.label}</span>
            {item.isChecked && <span aria-hidden>✓</span>}
          </DropdownMenu.Item>
        ),
      )}
    </>
  );
}
