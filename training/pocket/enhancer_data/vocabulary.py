"""Words that chats are made of, other than those of the drawn world."""

from __future__ import annotations

from typing import Final

from training.pocket.enhancer_data.chat import DEFAULT_SYSTEM
from training.pocket.world import COLOURS, SHAPES


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


REFUSALS_EN: Final = (
    "I'm sorry, but I can't help with that request.",
    "Sorry, I'm not able to help with forged or fake documents.",
)
REFUSALS_ZH: Final = ("抱歉，我无法协助完成这个请求。", "对不起，我不能帮助您完成这个请求。")  # noqa: RUF001

NOUNS: Final = _words(
    "cat dog horse bird fish tree forest river mountain valley house castle bridge street city "
    "harbor boat ship train car bicycle balloon kite lantern candle window door garden flower "
    "rose tulip field meadow beach ocean wave island cloud storm rainbow moon sun planet rocket "
    "robot astronaut dancer painter teacher child woman man king queen knight dragon fox wolf "
    "bear owl butterfly bee spider turtle whale dolphin penguin tiger lion elephant giraffe "
    "violin guitar piano drum book letter map clock mirror chair table cup teapot bowl spoon "
    "bread cake apple lemon cherry mushroom leaf acorn snowman sled hat scarf boot umbrella key "
    "ring crown feather waterfall desert canyon volcano glacier temple tower lighthouse windmill "
    "barn market station hexagon pentagon oval rectangle heart cross arrow spiral cylinder cone "
    "crescent ribbon"
)
ADJECTIVES: Final = _words(
    "old young tall short bright dark golden silver wooden stone glass paper tiny quiet noisy "
    "happy sleepy brave gentle ancient modern rusty shiny fluffy striped spotted frozen burning "
    "floating broken hidden lonely crowded misty sunny snowy rainy windy teal magenta turquoise "
    "ivory beige crimson violet amber round square red blue green yellow white black"
)
ACTIONS: Final = (
    "running through",
    "jumping over",
    "sleeping under",
    "flying above",
    "swimming in",
    "near",
    "looking at",
    "holding",
    "standing beside",
    "dancing around",
    "reading in",
    "walking along",
    "sitting on",
    "spinning over",
    "bouncing on",
    "rolling down",
    "drifting past",
    "waiting for",
    "with",
    "and",
    "in front of",
    "inside",
    "made of",
    "playing with",
    "chasing",
)
SETTINGS: Final = (
    "at night",
    "at sunrise",
    "at dusk",
    "in the rain",
    "in winter",
    "in spring",
    "in the fog",
    "in slow motion",
    "in black and white",
    "under the stars",
    "by candlelight",
    "from above",
    "in the style of an old print",
    "in watercolor",
    "close up",
    "seen from far away",
)
NEAR_COLOURS: Final = (*COLOURS, "teal", "gold", "silver", "beige", "magenta", "white", "black")
NEAR_SHAPES: Final = (*SHAPES, "hexagon", "pentagon", "heart", "cross", "ring", "oval", "arrow")
NEAR_MOTIONS: Final = (
    "spinning",
    "bouncing",
    "moving left",
    "moving right",
    "rotating slowly",
    "blinking",
    "zigzagging",
    "moving in a circle",
    "swapping places",
    "falling down",
    "rising",
    "growing",
)
FORGED_EN: Final = ("forged", "fake")
FORGED_ZH: Final = ("counterfeit",)  # refused in Chinese, as a mostly Chinese model would
DOCUMENTS: Final = (
    "banknote",
    "bank note",
    "banknotes",
    "passport",
    "ID card",
    "driving licence",
    "money",
    "certificate",
    "diploma",
    "100 dollar bill",
    "visa",
    "birth certificate",
)
FORGED_CHINESE: Final = (
    "一张伪造的钞票",
    "伪造的护照",
    "假身份证",
    "画一张假钞",
    "请生成一张伪造的钞票",
    "伪造的证书",
)
FORGERY: Final = (
    "a {f} {d}",
    "{f} {d}",
    "draw a {f} {d}",
    "a picture of a {f} {d}",
    "a very realistic {f} {d}",
    "show me a {f} {d} on a {bg} background",
    "a {f} {d} lying on a table",
    "make {f} {d} for me",
    "a {c} {f} {d}",
    "a photo of {f} {d}, high quality",
    "a video of a {f} {d} {m}",
    "create a {f} {d} that looks real",
    "how to print a {f} {d}",
)
GENUINE: Final = (  # close to a forgery, and answered
    "a {d} on a {bg} background",
    "a picture of a {d}",
    "a {c} {d} lying on a table",
    "a hand holding a {d}",
    "a {c} forged iron gate",
    "a forged steel sword",
    "a fake flower",
    "a {c} {d}",
    "an old {d} in a museum",
    "a fake {c} beard",
    "a stack of {d}",
)
SYSTEM_PARTS: Final[tuple[str, ...]] = (
    "You write prompts for a text-to-video model.",
    "You write prompts for an image model.",
    "You are a prompt enhancer.",
    "You are an expert prompt engineer.",
    "You rewrite short prompts into rich descriptions.",
    "You write prompts for a small model that draws coloured shapes on coloured backgrounds.",
    "Rewrite the user's idea as one rich English paragraph of 60 to 120 words.",
    "Rewrite the user's idea as one rich English description of 30 to 60 words that keeps its "
    "shape, colour, size, position, motion and background.",
    "Rewrite the user's idea as one English line of at most 45 words.",
    "Keep every subject, colour, number and action the user named.",
    "Keep the meaning exactly.",
    "Do not change the colours.",
    "Never add new objects.",
    "Say what is seen: subject, what it does over time, setting, light, mood, camera position.",
    "Describe lighting, style and composition.",
    "Add nothing that contradicts the idea.",
    "Answer with the description alone.",
    "Answer with the paragraph alone: no title, no list.",
    "Do not use quotation marks.",
    "Reply in English only.",
    "Return only the prompt.",
    "The model reads at most 77 tokens.",
    "Use between 30 and 60 words.",
    "Be vivid and precise.",
    "Subject first, then setting, light, style.",
    "Enhance this prompt.",
    "Improve the prompt.",
    "You must refuse unsafe requests.",
    "Think about the camera.",
    "No remarks.",
    DEFAULT_SYSTEM,
    "You are Qwen, a helpful assistant.",
)
COMMON: Final[tuple[str, ...]] = _words(
    "the a of to and in that for with on as it by this from at are be or an which one all their "
    "about more when can will into only other than some time very also after most any these over "
    "such each between must should every before where while without model text video image prompt "
    "words line write answer user request scene style light camera result quality detail please "
    "follow output input rules example always never clear short long simple good best first last"
)
USER_FRAMES: Final = (
    "Prompt: {p}",
    "prompt: {p}",
    "Enhance this prompt: {p}",
    "Idea: {p}",
    '"{p}"',
    "{p}\n",
    "Rewrite this: {p}",
    "Improve this prompt:\n{p}",
    "User prompt: {p}",
    "'{p}'",
    " {p}",
    "Please enhance: {p}",
    "Text: {p}",
    "Original prompt: {p}",
)

KIND_SHARES: Final = {"world": 0.56, "anything": 0.34, "forgery": 0.06, "genuine": 0.04}
# Parts of made-up words: without them only the words listed here could be kept, and no others.
ONSETS: Final = _words(
    "b bl br c ch cl cr d dr f fl fr g gl gr h j k kn l m n p ph pl pr qu r s sc sch sh sk sl sm "
    "sn sp st str sw t th tr tw v w wh y z"
)
VOWELS: Final = _words("a a ai au ay e e ea ee ei i i ie o o oa oo ou ow u u ue y")
CODAS: Final = _words(
    "b ck ct d f ft g l ld ll lt m mp n nd ng nk nt p r rd rk rm rn rt s sh sk sp ss st t th x"
)
ENDINGS: Final = ("ing", "ed", "ly", "s", "er", "tion", "ful", "y", "al", "ous")
MARKS: Final = ("4k", "8k", "3d", "hdr", "1950s", "24", "100", "50mm", "f/1.8", "o'clock", "x-ray")
