"""Sentence shapes for one object, background frames, and words that change nothing.

Slots: {s} the object, {t} the object without an article, {bg} the background, {pos} the place;
{fin}, {ger} and {bare} the motion ("moves left", "moving left", "move left").
"""

from __future__ import annotations

from typing import Final

from training.pocket.captions.words import lines

BACKGROUND: Final = lines("""
    on a {bg} background
    on a {bg} background
    on a {bg} background
    on a {bg} background
    on a {bg} background
    against a {bg} background
    against a {bg} background
    with a {bg} background
    with a {bg} background
    in front of a {bg} background
    on a plain {bg} background
    on a solid {bg} background
    on a uniform {bg} background
    on a flat {bg} background
    on {bg}
    on {bg}
    against {bg}
    against a {bg} backdrop
    on a {bg} backdrop
    with a {bg} backdrop
    on a solid {bg} backdrop
    set against a {bg} backdrop
    on {bg} background
    , {bg} background
    , {bg} background
    , {bg} bg
    on a {bg} bg
    with {bg} bg
    with {bg} behind {it}
    with plain {bg} behind {it}
    with {bg} in the background
    in front of a {bg} wall
    in front of plain {bg}
    , background {bg}
    , bg {bg}
""")
# Only for one object: beside "over a star" it would read as a relation.
BACKGROUND_ONE: Final = lines("""
    over a {bg} background
    over a flat {bg} backdrop
""")
BACKGROUND_SENTENCE: Final = lines("""
    The background is {bg}.
    the background is {bg}
    Background: {bg}.
    background: {bg}
    The backdrop is {bg}.
    {bg} background.
    Behind {it} is plain {bg}.
    Everything behind {it} is {bg}.
    Use a {bg} background.
    The background is solid {bg}.
    Make the background {bg}.
    make the bg {bg}
    bg should be {bg}
    bg: {bg}
    Keep the background {bg}.
    The background should be {bg}.
    I want the background to be {bg}.
    with {bg} in the background
    Please make the background {bg}.
    BG is {bg}.
""")
MOVING: Final = lines("""
    {s} {ger} {bg}
    {s} {fin} {bg}
    {s} {ger}, {bg}
    {s} {fin}, {bg}
    {s} that {fin} {bg}
    {s} which {fin} {bg}
    {s} that's {ger} {bg}
    {s} is {ger} {bg}
    {bg}, {s} {fin}
    {bg}, {s} {ger}
    {bg}, {s} is {ger}
    {bg}: {s} {ger}
    {ger}, {s} {bg}
    {s} {bg}, {ger}
    {s} {bg} {ger}
    {s} {bg}. It {fin}.
    {s} {bg}. It is {ger}.
    {s} {bg}. It should {bare}.
    {s} {bg}, and it {fin}
    {s}, {ger}, {bg}
    {s} - {ger} - {bg}
    {s} ({ger}) {bg}
    {s} slowly {ger} {bg}
    {s} steadily {ger} {bg}
    {s} smoothly {ger} {bg}
    {s} {ger} slowly {bg}
    {s} just {ger}, {bg}
    {s} can be seen {ger} {bg}
    {s} starts {ger} {bg}
    {s} begins to {bare} {bg}
    {s} keeps {ger} {bg}
    a video of {s} {ger} {bg}
    video of {s} {ger}, {bg}
    a clip of {s} {ger} {bg}
    a short clip of {s} {ger}, {bg}
    a short clip in which {s} {fin} {bg}
    a video where {s} {fin} {bg}
    a video that shows {s} {ger} {bg}
    a vid of {s} {ger} {bg}
    an animation of {s} {ger} {bg}
    animation: {s} {ger}, {bg}
    an animation where {s} {fin} {bg}
    a gif of {s} {ger} {bg}
    a loop of {s} {ger} {bg}
    footage of {s} {ger} {bg}
    a scene with {s} {ger} {bg}
    an animated {t} {ger} {bg}
    a moving picture: {s} {fin} {bg}
    animate {s} {ger} {bg}
    animate {s} so that it {fin} {bg}
    show {s} {ger} {bg}
    show me {s} that {fin} {bg}
    show me how {s} {fin} {bg}
    make {s} {bare} {bg}
    make a video of {s} {ger} {bg}
    make me a clip with {s} {ger} {bg}
    let {s} {bare} {bg}
    have {s} {bare} {bg}
    watch {s} {bare} {bg}
    generate {s} {ger} {bg}
    render {s} {ger} {bg}
    create a video of {s} {ger} {bg}
    film {s} {ger} {bg}
    we see {s} {ger} {bg}
    you see {s} {ger} {bg}
    there is {s} {ger} {bg}
    there's {s} {ger} {bg}
    i want to see {s} {bare} {bg}
    i want {s} {ger} {bg}
    i wanna see {s} {ger} {bg}
    i'd like {s} {ger} {bg}
    i'd love to see {s} {bare} {bg}
    i need a video of {s} {ger} {bg}
    need {s} {ger} {bg}
    gimme {s} {ger} {bg}
    give me {s} that {fin} {bg}
    can you make {s} {bare} {bg}?
    can you animate {s} {ger} {bg}?
    can i get {s} {ger} {bg}?
    could you show {s} {ger} {bg}?
    could i see {s} {bare} {bg}?
    would you make a clip where {s} {fin} {bg}?
    how about {s} {ger} {bg}?
    what does {s} {ger} look like {bg}?
    what if {s} {fin} {bg}?
    let's see {s} {bare} {bg}
    imagine {s} {ger} {bg}
    picture this: {s} {ger} {bg}
""")
STILL: Final = lines("""
    {s} {pos} {fin} {bg}
    {s} {fin} {pos} {bg}
    {s} {fin} {pos}, {bg}
    {s} {ger} {pos} {bg}
    {s} {pos}, {ger}, {bg}
    {s} {pos} {bg}. It {fin}.
    {s} {pos} {bg}, it {fin}
    {s} {pos} that {fin} {bg}
    {s} which {fin} {pos} {bg}
    {bg}, {s} {pos} {fin}
    {bg}, {s} {fin} {pos}
    {bg}: {s} {pos}, {ger}
    {pos} {s} {fin}, {bg}
    {s} {bg}, {ger} {pos}
    a video of {s} {ger} {pos} {bg}
    a clip of {s} {pos} that {fin} {bg}
    a clip where {s} {fin} {pos} {bg}
    an animation in which {s} {pos} {fin} {bg}
    video: {s} {pos}, {ger}, {bg}
    a static shot of {s} {pos} {bg}. It {fin}.
    show {s} {ger} {pos} {bg}
    show me {s} that {fin} {pos} {bg}
    let {s} {bare} {pos} {bg}
    make {s} {bare} {pos} {bg}
    have {s} {bare} {pos} {bg}
    there is {s} {pos} and it {fin} {bg}
    we see {s} {pos}, {ger}, {bg}
    i want {s} {pos} that {fin} {bg}
    i'd like {s} to {bare} {pos} {bg}
    gimme {s} {ger} {pos} {bg}
    can you make {s} {bare} {pos} {bg}?
    can i get {s} {pos} {ger} {bg}?
    could you show {s} {ger} {pos} {bg}?
    render {s} {pos} {bg}, {ger}
""")
RESTING: Final = lines("""
    {s} {pos} {bg}
    {s} {pos} {bg}
    {s} {bg}, {pos}
    {s} {pos}, {bg}
    {s} {bg} {pos}
    {bg}, {s} {pos}
    {bg}: {s} {pos}
    {pos}, {s} {bg}
    {pos} {s}, {bg}
    {pos} there is {s} {bg}
    {s} - {pos} - {bg}
    {s} ({pos}) {bg}
    {s} is {pos} {bg}
    {s} placed {pos} {bg}
    {s} sits {pos} {bg}
    {s} located {pos} {bg}
    {s} that is {pos} {bg}
    {s} {bg}. It is {pos}.
    {s} {bg}. Put it {pos}.
    just {s} {pos} {bg}
    a picture of {s} {pos} {bg}
    a pic of {s} {pos} {bg}
    picture of {s}, {pos}, {bg}
    an image of {s} {pos} {bg}
    an image with {s} {pos} {bg}
    a drawing of {s} {pos} {bg}
    an illustration of {s} {pos} {bg}
    a simple graphic of {s} {pos} {bg}
    a photo of {s} {pos} {bg}
    a minimalist poster with {s} {pos} {bg}
    an icon: {s} {pos} {bg}
    draw {s} {pos} {bg}
    draw me {s} {pos}, {bg}
    paint {s} {pos} {bg}
    show {s} {pos} {bg}
    show me {s} {pos} {bg}
    put {s} {pos} {bg}
    place {s} {pos} {bg}
    create {s} {pos} {bg}
    make {s} {pos}, {bg}
    generate {s} {pos} {bg}
    render {s} {pos} {bg}
    give me {s} {pos} {bg}
    gimme {s} {pos} {bg}
    there is {s} {pos} {bg}
    there's {s} {pos}, {bg}
    i want {s} {pos} {bg}
    i'd like {s} {pos} {bg}
    i need an image of {s} {pos} {bg}
    need {s} {pos}, {bg}
    can you draw {s} {pos} {bg}?
    can i get {s} {pos} {bg}?
    could you paint {s} {pos} {bg}?
    could you put {s} {pos} {bg}?
    would you draw {s} {bg}, {pos}?
    how about {s} {pos} {bg}?
    imagine {s} {pos} {bg}
""")
PLAIN: Final = lines("""
    {s} {bg}
    {s} {bg}
    {s}, {bg}
    {bg}, {s}
    {bg}: {s}
    just {s} {bg}
    only {s} {bg}
    simply {s} {bg}
    a picture of {s} {bg}
    a pic of {s} {bg}
    an image of {s} {bg}
    a drawing of {s} {bg}
    an illustration of {s} {bg}
    a simple graphic of {s} {bg}
    a minimalist poster with {s} {bg}
    a photo of {s}, {bg}
    a view of {s} {bg}
    draw {s} {bg}
    draw me {s} {bg}
    paint {s} {bg}
    show {s} {bg}
    show me {s} {bg}
    create {s} {bg}
    generate {s} {bg}
    render {s} {bg}
    give me {s} {bg}
    gimme {s} {bg}
    there is {s} {bg}
    i want {s} {bg}
    i'd like {s} {bg}
    i need {s} {bg}
    need {s} {bg}
    can you draw {s} {bg}?
    can i get {s} {bg}?
    could you paint {s} {bg}?
    could i see {s} {bg}?
    how about {s} {bg}?
""")
TAGS: Final = lines("""
    {tags}
    {tags}
    {tags}
    {tags}, minimal
    {tags}, flat design
    {tags}, simple shapes
    {tags}, clean vector style
    {tags}, high quality
    {tags}, crisp edges
    {tags}, best quality
    {tags}, 2d
    {tags}, 4k
    {tags}, vector art
    {tags}, geometric
    {tags}, simple
    {tags}, minimalism
    {tags}, hd
    {tags}, clean
    {tags}, masterpiece
    {tags}, flat
    {tags}, digital art
    prompt: {tags}
    minimal, {tags}
    flat design, {tags}
    vector art, {tags}
    simple, {tags}
""")
# How fields are labelled: the object, its motion, its place, the background, what is between them.
FIELDS: Final = (
    "subject: |motion: |position: |background: |; ",
    "subject: |action: |where: |background: |, ",
    "object: |movement: |place: |bg: |, ",
    "what: |what it does: |where: |behind it: |. ",
    "shape: |motion: |position: |background: | / ",
    "main subject: |movement: |placement: |backdrop: |. ",
    "Subject: |Motion: |Position: |Background: |. ",
    "Object - |Motion - |Place - |Background - |, ",
    "thing: |animation: |location: |background: |; ",
)
BEFORE: Final = lines("""
    please
    please,
    pls
    plz
    yo,
    yo
    hey,
    hey
    hi,
    ok:
    ok so
    hello,
    now
    simple:
    minimal scene:
    hi there,
    next,
    next up:
    prompt:
    idea:
    quick one:
    hmm,
    well,
    alright,
    scene:
    my idea:
    request:
    let's try this:
""")
AFTER: Final = (
    ", please",
    " please",
    " pls",
    ", plz",
    " thanks",
    ", thx",
    ", simple and clean",
    ", high quality",
    ", minimalist style",
    ", minimalist",
    ", flat colours",
    ", flat colors",
    ", crisp edges",
    ", nothing else",
    ", 2d graphic",
    ", clean look",
    ", vector art",
    ", 4k",
    ", hd",
    ", looping",
    ", nice and simple",
    ", super clean",
    ", that's all",
    ", no text",
    ", very simple",
    ", in a simple style",
    " ok?",
    " :)",
)
# Adjectives that change nothing.
DETAIL: Final = lines("nice\nlovely\nsimple\npretty\nneat\ncute\nbeautiful\nperfect\nclean\ncool")
