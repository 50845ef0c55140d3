"""Sentence shapes for two objects and a relation. Each says once who is where.

`BY_RELATION`: {a} stands in the relation {rel} to {b}. `BY_PLACE`: {a} at {pa}, {b} at {pb}, with
the labels {la} and {lb}. `BESIDE`: {b} comes first, {a} is then said to be {adv} ("to its left").
`ONLY_LEFT` and `ONLY_ABOVE`: {a} is the left or upper one; {ca} and {cb} repeat the colours.
`SAME_SHAPE`: two of one shape, whose plural is {ns}. {bg} is the background.
"""

from __future__ import annotations

from typing import Final

from training.pocket.captions.words import lines

BY_RELATION: Final = lines("""
    {a} {rel} {b} {bg}
    {a} {rel} {b}, {bg}
    {bg}, {a} {rel} {b}
    {a} is {rel} {b} {bg}
    {a} that is {rel} {b} {bg}
    {a} placed {rel} {b} {bg}
    {a} positioned {rel} {b}, {bg}
    {a} {bg}, {rel} {b}
    {a} sits {rel} {b} {bg}
    {a} located {rel} {b} {bg}
    {rel} {b}, {a} {bg}
    {rel} {b} there is {a} {bg}
    {rel} {b} is {a} {bg}
    {bg}, {rel} {b} is {a}
    there is {a} {rel} {b} {bg}
    there's {a} {rel} {b}, {bg}
    a picture of {a} {rel} {b} {bg}
    an image of {a} {rel} {b} {bg}
    an image showing {a} {rel} {b} {bg}
    a drawing with {a} {rel} {b} {bg}
    an illustration: {a} {rel} {b} {bg}
    a graphic where {a} is {rel} {b} {bg}
    two shapes: {a} {rel} {b} {bg}
    two objects, {a} {rel} {b}, {bg}
    two shapes {bg}, {a} {rel} {b}
    draw {a} {rel} {b} {bg}
    show {a} {rel} {b} {bg}
    show me {a} {rel} {b}, {bg}
    put {a} {rel} {b} {bg}
    place {a} {rel} {b} {bg}
    paint {a} {rel} {b} {bg}
    generate {a} {rel} {b} {bg}
    render {a} {rel} {b} {bg}
    make a picture with {a} {rel} {b} {bg}
    i want {a} {rel} {b} {bg}
    i'd like {a} {rel} {b} {bg}
    i need {a} {rel} {b}, {bg}
    gimme {a} {rel} {b} {bg}
    can you draw {a} {rel} {b} {bg}?
    can i get {a} {rel} {b} {bg}?
    could you put {a} {rel} {b} {bg}?
    what does {a} {rel} {b} look like {bg}?
    how about {a} {rel} {b} {bg}?
""")
BY_PLACE: Final = lines("""
    {a} {pa} and {b} {pb} {bg}
    {a} {pa} and {b} {pb}, {bg}
    {a} {pa}, {b} {pb} {bg}
    {a} {pa}, {b} {pb}, {bg}
    {pa} {a}, {pb} {b}, {bg}
    {pa} {a} and {pb} {b}, {bg}
    {pa}, {a}; {pb}, {b}; {bg}
    {bg}, {a} {pa} and {b} {pb}
    {bg}: {a} {pa}, {b} {pb}
    {bg}, {pa} {a}, {pb} {b}
    {a} is {pa} and {b} is {pb} {bg}
    {a} is {pa} while {b} is {pb} {bg}
    {a} is {pa}, and {b} is {pb}, {bg}
    {pa} there is {a} and {pb} there is {b}, {bg}
    {pa} is {a}. {pb} is {b}. {bg}
    {pa} you see {a}, {pb} {b}, {bg}
    {a} {pa} with {b} {pb} {bg}
    {a} ({la}) and {b} ({lb}) {bg}
    {la}: {a}; {lb}: {b}; {bg}
    {la}: {a}, {lb}: {b}, {bg}
    {la}: {a}. {lb}: {b}. {bg}
    {la} = {a}, {lb} = {b}, {bg}
    {la} - {a}, {lb} - {b}, {bg}
    {la} side: {a}, {lb} side: {b}, {bg}
    {a} {la}, {b} {lb}, {bg}
    {a} in the {la} half, {b} in the {lb} half, {bg}
    {a} in the {la} half and {b} in the {lb} half {bg}
    two shapes: {a} {pa}, {b} {pb}, {bg}
    two shapes {bg}: {a} ({la}) and {b} ({lb})
    two objects {bg}, {a} {pa} and {b} {pb}
    there is {a} {pa} and {b} {pb} {bg}
    there are two shapes, {a} {pa} and {b} {pb}, {bg}
    a picture with {a} {pa} and {b} {pb} {bg}
    a picture of {a} {pa} and {b} {pb} {bg}
    an image of {a} and {b}, the first {pa}, the second {pb}, {bg}
    a simple drawing, {pa} {a}, {pb} {b}, {bg}
    draw {a} {pa} and {b} {pb} {bg}
    show {a} {pa} and {b} {pb}, {bg}
    show me {a} {pa}, {b} {pb} {bg}
    put {a} {pa} and {b} {pb} {bg}
    put {a} {pa}. Put {b} {pb}. {bg}
    place {a} {pa}, then {b} {pb}, {bg}
    i want {a} {pa} and {b} {pb} {bg}
    i'd like to see {a} {pa} and {b} {pb} {bg}
    gimme {a} {pa} and {b} {pb}, {bg}
    need {a} {pa}, {b} {pb}, {bg}
    generate {a} {pa} and {b} {pb} {bg}
    can you draw {a} {pa} and {b} {pb} {bg}?
    could you make a picture with {a} {pa} and {b} {pb} {bg}?
    can i have {a} {pa} and {b} {pb} {bg}?
""")
BESIDE: Final = lines("""
    {b} with {a} {adv} {bg}
    {b} with {a} {adv}, {bg}
    {bg}, {b} with {a} {adv}
    {b} and, {adv}, {a}, {bg}
    {b} and {adv} {a}, {bg}
    {b}, and {adv} is {a}, {bg}
    {b}. {adv} is {a}. {bg}
    {b}. {adv} there is {a}. {bg}
    there is {b}, and {adv} there is {a}, {bg}
    there's {b} with {a} {adv} {bg}
    {b} has {a} {adv} {bg}
    first {b}, then {a} {adv}, {bg}
    {b} first, and {a} {adv}, {bg}
    a picture of {b} with {a} {adv} {bg}
    an image of {b} that has {a} {adv} {bg}
    draw {b} with {a} {adv} {bg}
    draw {b}, then draw {a} {adv}, {bg}
    show {b} with {a} {adv} {bg}
    put {b} and {a} {adv}, {bg}
    i want {b} with {a} {adv} {bg}
    gimme {b} and {a} {adv}, {bg}
    can you draw {b} with {a} {adv} {bg}?
    could i get {b} with {a} {adv} {bg}?
    {b} plus {a} {adv}, {bg}
    {b} + {a} {adv}, {bg}
""")
ONLY_LEFT: Final = lines("""
    two shapes side by side: {a} (left) and {b} (right) {bg}
    {a} and {b} side by side, {ca} one on the left {bg}
    {b} and {a} side by side, the {ca} one on the left, {bg}
    {a} beside {b}, with the {ca} one on the left, {bg}
    {b} beside {a}, with the {ca} one on the left, {bg}
    {a} next to {b}, the {cb} one on the right, {bg}
    {b} next to {a}, the {cb} one on the right, {bg}
    {bg}, side by side from left to right: {a}, {b}
    from left to right: {a}, {b}, {bg}
    from left to right, {a} and {b} {bg}
    from right to left: {b}, then {a}, {bg}
    left to right: {a} then {b}, {bg}
    first {a}, then {b} to the right of it, {bg}
    {a} takes the left side and {b} takes the right side {bg}
    {a} in the left half, {b} in the right half, {bg}
    {b} fills the right side, {a} the left side, {bg}
    the left shape is {a}, the right shape is {b}, {bg}
    the right one is {b} and the left one is {a}, {bg}
    a picture of {a} and {b} next to each other, the {ca} one on the left {bg}
    split picture: left {a}, right {b}, {bg}
""")
ONLY_ABOVE: Final = lines("""
    {a} stacked on top of {b} {bg}
    {a} stacked above {b}, {bg}
    two shapes stacked: {a} on top, {b} underneath, {bg}
    {a} and {b} stacked, the {ca} one on top, {bg}
    {b} and {a}, one above the other, with the {ca} one on top, {bg}
    {a} and {b} one above the other, {cb} one at the bottom, {bg}
    {bg}, from top to bottom: {a}, {b}
    from top to bottom: {a}, {b}, {bg}
    from top to bottom, {a} and {b} {bg}
    from bottom to top: {b}, then {a}, {bg}
    top to bottom: {a} then {b}, {bg}
    first {a}, then {b} below it, {bg}
    {a} hovers over {b} {bg}
    {a} hangs above {b} {bg}
    {a} floats above {b}, {bg}
    {a} in the upper half, {b} in the lower half, {bg}
    {b} in the lower half, {a} in the upper half, {bg}
    the top shape is {a}, the bottom shape is {b}, {bg}
    the lower one is {b} and the upper one is {a}, {bg}
    {b} sits just underneath {a} {bg}
""")
SAME_SHAPE: Final = lines("""
    two {ns}, {ca} {pa} and {cb} {pb}, {bg}
    two {ns}, a {ca} one {pa} and a {cb} one {pb}, {bg}
    two {ns} {bg}: {ca} {pa}, {cb} {pb}
    two {ns}: the {ca} one {pa}, the {cb} one {pb}, {bg}
    two {ns}, {la} {ca}, {lb} {cb}, {bg}
    2 {ns}, {ca} {pa}, {cb} {pb}, {bg}
    a pair of {ns}, {ca} {pa} and {cb} {pb} {bg}
    draw two {ns}, {ca} {pa}, {cb} {pb} {bg}
    {ca} and {cb} {ns}, the {ca} one {pa}, {bg}
    can you draw two {ns}, {ca} {pa} and {cb} {pb} {bg}?
    two {ns} of different colours, {ca} {pa} and {cb} {pb}, {bg}
    show two {ns}: {ca} {pa} and {cb} {pb}, {bg}
""")
RICH_RELATION: Final = lines("""
    A clean, minimalist composition shows {a} {rel} {b} {bg}.
    In this carefully balanced image, {a} is placed {rel} {b} {bg}.
    The picture presents two simple shapes {bg}: {a} {rel} {b}.
    A polished flat illustration of {a} {rel} {b} {bg}.
    {a} rests {rel} {b} {bg}, both drawn with sharp, clear outlines.
    An elegant, modern design with {a} {rel} {b} {bg}.
    This image features {a} {rel} {b} {bg}.
    {bg}, a tidy arrangement of two shapes: {a} {rel} {b}.
    A crisp vector picture in which {a} is seen {rel} {b} {bg}.
    Two simple forms share the frame {bg}: {a} appears {rel} {b}.
""")
RICH_PLACE: Final = lines("""
    A clean, minimalist composition with {a} {pa} and {b} {pb} {bg}.
    Two simple shapes share the frame {bg}: {a} {pa} and {b} {pb}.
    {pa} we see {a}, and {pb} we see {b}, {bg}.
    In this carefully balanced image, {a} is {pa} while {b} is {pb} {bg}.
    A polished flat illustration {bg}: {pa} there is {a}, {pb} there is {b}.
    {a} {pa} and {b} {pb} make a calm, modern design {bg}.
    The picture presents {b} {pb} and {a} {pa} {bg}.
    An elegant poster {bg}, with {a} {pa} and {b} {pb}.
    A geometric study of two forms: {a} {pa}, {b} {pb}, {bg}.
    The viewer sees {a} {pa}, and also {b} {pb}, {bg}.
""")
