import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { ApiError } from "@/api/client";
import { App, prefetchView } from "@/app";
import { loadMessages, MessagesProvider } from "@/messages";
import { followTheme } from "@/stores/preferences";
import { TipProvider } from "@/ui/tooltip";
import "@/index.css";

const client = new QueryClient({
  defaultOptions: {
    queries: {
      retry: (failures, error) => error instanceof ApiError && error.isPassing && failures < 3,
      refetchOnWindowFocus: false, // the live stream tells what changed
      networkMode: "always", // the service may be on this very computer
    },
    mutations: { networkMode: "always" },
  },
});

async function start(): Promise<void> {
  followTheme();
  prefetchView(window.location.pathname);
  const { language, messages } = await loadMessages(navigator.languages);
  document.documentElement.lang = language;
  const root = document.getElementById("root");
  if (!root) throw new Error("index.html lacks #root");
  createRoot(root).render(
    <StrictMode>
      <QueryClientProvider client={client}>
        <MessagesProvider value={messages}>
          <TipProvider>
            <App />
          </TipProvider>
        </MessagesProvider>
      </QueryClientProvider>
    </StrictMode>,
  );
}

void start();
