import type { KeyboardEvent } from "react";

const MOVES: Record<string, readonly [number, number]> = {
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
};

/** From a button of one cell to the first of its neighbour. */
export function moveByArrow(event: KeyboardEvent<HTMLElement>): void {
  const move = MOVES[event.key];
  if (!move || !(event.target instanceof HTMLButtonElement)) return;
  const cell = event.target.closest("td");
  const row = cell?.parentElement;
  const table = cell?.closest("table");
  if (!cell || !table || !(row instanceof HTMLTableRowElement)) return;
  const next = table.rows[row.rowIndex + move[0]]?.cells[cell.cellIndex + move[1]];
  const button = next?.querySelector("button");
  if (!button) return;
  event.preventDefault();
  button.focus();
  button.scrollIntoView({ block: "nearest", inline: "nearest" });
}
