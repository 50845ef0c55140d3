import { type Shortcut, shownKeys, useRegistry } from "@/lib/shortcuts";
import { useMessages } from "@/messages";
import { usePreferences } from "@/stores/preferences";
import { Dialog } from "@/ui/dialog";
import { Switch } from "@/ui/field";

export function HelpSheet({ isOpen, onClose }: { isOpen: boolean; onClose(): void }) {
  const messages = useMessages();
  return (
    <Dialog isOpen={isOpen} onClose={onClose} title={messages.help.title}>
      <Shortcuts />
    </Dialog>
  );
}

/** Only while the sheet is open: whatever comes on screen registers its keys. */
function Shortcuts() {
  const messages = useMessages();
  const { shortcuts } = useRegistry();
  const { hasSingleKeys, setSingleKeys } = usePreferences();
  const of = (scope: Shortcut["scope"]) => [
    ...new Map(
      shortcuts.filter((each) => each.scope === scope).map((each) => [each.keys, each]),
    ).values(),
  ];
  return (
    <div className="flex flex-col gap-5">
      <ShortcutList title={messages.help.here} shortcuts={of("here")} />
      <ShortcutList title={messages.help.everywhere} shortcuts={of("everywhere")} />
      <Switch
        isOn={hasSingleKeys}
        onChange={setSingleKeys}
        label={messages.help.single}
        hint={messages.help.singleHint}
      />
    </div>
  );
}

function ShortcutList({ title, shortcuts }: { title: string; shortcuts: Shortcut[] }) {
  if (shortcuts.length === 0) return null;
  return (
    <section>
      <h3 className="mb-1 text-xs font-medium text-muted">{title}</h3>
      <dl>
        {shortcuts.map(({ keys, label }) => (
          <div
            key={keys}
            className="flex items-center justify-between border-b border-line py-1.5 last:border-0"
          >
            <dt>{label}</dt>
            <dd className="flex gap-1">
              {shownKeys(keys).map((part) => (
                <kbd
                  key={part}
                  className="min-w-6 rounded-md border border-line bg-sunken px-1.5 py-0.5 text-center text-xs"
                >
                  {part}
                </kbd>
              ))}
            </dd>
          </div>
        ))}
      </dl>
    </section>
  );
}
