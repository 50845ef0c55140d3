"""Long descriptions, as a prompt enhancer writes them; each fill keeps the meaning."""

from __future__ import annotations

from typing import Final

RICH_MOVING: Final = (
    "A clean, minimalist animation shows {s} that {fin} {bg}.",
    "In this smooth, steady shot, {s} {fin} {bg}.",
    "The scene opens on {s} {bg}. Over the whole clip it {fin} at an even pace.",
    "A carefully composed short video of {s} {bg}, which {fin} without any pause.",
    "{s} {fin} gracefully {bg}, and the eye follows it easily.",
    "Cinematic, fluid motion: {s} {fin} {bg} from the first frame to the last.",
    "With calm, continuous motion, {s} {fin} {bg}.",
    "We watch {s} as it {fin} {bg}, one continuous take.",
    "This is a graphic composition in motion: {s} {bg} {fin} evenly.",
    "A polished motion graphic featuring {s}. It {fin} {bg} at a constant speed.",
    "A tidy animated graphic: {s} {bg} is seen {ger}.",
    "{bg}, {s} {fin}, and nothing else happens.",
    "The clip follows {s} as it {fin} {bg}.",
    "An unbroken, steady take of {s} {ger} {bg}.",
    "Minimal motion design in which {s} {fin} {bg}, from start to finish.",
)
RICH_STILL: Final = (
    "A clean, minimalist clip of {s} {pos} {bg}, which {fin}.",
    "In this quiet, steady shot, {s} {fin} {pos} {bg}.",
    "The scene shows {s} {pos} {bg}. Over the whole clip it {fin}.",
    "A carefully composed short video: {s} {pos} {bg} {fin} throughout.",
    "{s} {fin} {pos} {bg}, and the camera does the same.",
    "From the first frame to the last, {s} {fin} {pos} {bg}.",
    "One continuous take of {s} {ger} {pos} {bg}.",
    "A calm graphic composition where {s} {pos} {fin} {bg}.",
    "{bg}, {s} {fin} {pos}, with no change at all.",
    "A polished, quiet clip features {s} {ger} {pos} {bg}.",
)

RICH_RESTING: Final = (
    "A clean, minimalist composition shows {s} {pos} {bg}.",
    "In this quiet, carefully balanced image, {s} rests {pos} {bg}.",
    "The picture presents {s} {bg}. It is placed {pos}, with generous empty space around it.",
    "A polished flat illustration of {s} {pos} {bg}.",
    "{s} sits {pos} {bg}, drawn with sharp, clear outlines.",
    "Graphic and simple: {s} {pos} {bg} catches the eye at once.",
    "A studio-like view of {s} {bg}, {pos}, rendered with great clarity.",
    "This image features {s}, positioned {pos} {bg}.",
    "A carefully drawn picture of {s} {pos} {bg}, calm and precise.",
    "An elegant, modern design with {s} {pos} {bg}.",
    "{bg}, {s} is shown {pos}, crisp and clear.",
    "A tidy vector picture in which {s} is seen {pos} {bg}.",
    "The eye goes straight to {s} {pos} {bg}.",
    "A quiet, uncluttered view: {s} {pos} {bg}.",
    "The frame holds {s} {pos} {bg}, and nothing more.",
)
RICH_PLAIN: Final = (
    "A clean, minimalist composition shows {s} {bg}.",
    "This carefully balanced image presents {s} {bg}.",
    "A polished flat illustration of {s} {bg}.",
    "{s} {bg}, drawn with sharp, clear outlines.",
    "Graphic and simple: {s} {bg} catches the eye at once.",
    "A studio-like view of {s} {bg}, rendered with great clarity.",
    "A carefully drawn picture of {s} {bg}, calm and precise.",
    "An elegant, modern design with {s} {bg}.",
    "{bg}, {s} is shown crisp and clear.",
    "The frame holds {s} {bg}, and nothing more.",
)

RICH_FILL: Final = (
    "The lighting is soft and even.",
    "The edges are crisp and well defined.",
    "The colours are flat, rich and saturated.",
    "The colors are vivid and pure.",
    "There are no other objects in the frame.",
    "The camera is fixed and does not shake.",
    "The overall mood is calm and modern.",
    "The style is simple, flat vector art.",
    "The composition is uncluttered, with plenty of empty space.",
    "High quality, sharp focus, smooth rendering.",
    "Every frame is clear and stable.",
    "There is no texture and no shadow.",
    "The surface looks smooth and uniform.",
    "It is a minimal, abstract scene.",
    "The contrast is strong and pleasing.",
    "The image has a professional, polished finish.",
    "Nothing distracts from the subject.",
    "The outline stays sharp throughout.",
    "The frame is vertical, in portrait format.",
    "The look is contemporary and geometric.",
    "Detailed, clean, beautifully simple.",
    "The view is straight on, without perspective.",
    "Cinematic quality, steady framing.",
    "The whole scene feels balanced.",
)
