import { en as media } from "@/media/messages";
import { common } from "@/messages/common";
import { en as compare } from "@/views/compare/messages";
import { en as create } from "@/views/create/messages";
import { en as grid } from "@/views/grid/messages";
import { en as library } from "@/views/library/messages";
import { en as performance } from "@/views/performance/messages";
import { en as queue } from "@/views/queue/messages";

export const en = { ...common, media, create, queue, library, compare, grid, performance };
