import { useQuery, useQueryClient } from "@tanstack/react-query";
import { answer, api, type Schemas } from "@/api/client";
import { reconnect } from "@/api/live";
import { forgetUnanswered } from "@/api/once";
import { keys } from "@/api/queries";
import { forgetPerson } from "@/lib/personal";
import { useToasts } from "@/ui/toast";

type Session = Schemas["SessionAnswer"];

/** Who this browser is to the service. The key itself lies in a cookie that scripts can't read. */
export function useSession() {
  const client = useQueryClient();
  const {
    data: session,
    error,
    refetch,
  } = useQuery({
    queryKey: keys.session,
    queryFn: ({ signal }) => answer(api.GET("/api/v1/session", { signal })),
    staleTime: Number.POSITIVE_INFINITY,
  });
  const settle = async (now: Session) => {
    client.setQueryData(keys.session, now);
    await client.invalidateQueries();
    reconnect();
  };
  return {
    session,
    error,
    refetch,
    signIn: async (key: string) =>
      settle(await answer(api.POST("/api/v1/session", { body: { key } }))),
    signOut: async () => {
      useToasts.getState().clear(); // what was deleted is, while there is a key to do it with
      const now = await answer(api.DELETE("/api/v1/session"));
      client.setQueryData(keys.session, now); // first: what is on screen asks for nothing any more
      client.removeQueries({ predicate: (query) => query.queryKey[0] !== keys.session[0] });
      client.getMutationCache().clear();
      forgetUnanswered();
      forgetPerson();
    },
  };
}
