import { createContext, useCallback, useContext, useMemo, useState } from "react";
import { Player } from "@/views/compare/logic/player";
import { useViewport, type Zooming } from "@/views/compare/stage/use-viewport";

/** What all panes of a stage share. */
export interface Looking {
  zooming: Zooming;
  player: Player;
  /** Width by height of files whose size the service does not tell. */
  measured: ReadonlyMap<string, number>;
  measure(assetId: string, ratio: number): void;
}

export function useNewLooking(): Looking {
  const zooming = useViewport();
  const [player] = useState(() => new Player());
  const [measured, setMeasured] = useState<ReadonlyMap<string, number>>(new Map());
  const measure = useCallback((assetId: string, ratio: number) => {
    if (!Number.isFinite(ratio) || ratio <= 0) return;
    setMeasured((known) =>
      known.get(assetId) === ratio ? known : new Map(known).set(assetId, ratio),
    );
  }, []);
  return useMemo(
    () => ({ zooming, player, measured, measure }),
    [zooming, player, measured, measure],
  );
}

const LookingContext = createContext<Looking | null>(null);
export const LookingProvider = LookingContext.Provider;

export function useLooking(): Looking {
  const looking = useContext(LookingContext);
  if (!looking) throw new Error("useLooking needs a Stage around it");
  return looking;
}
