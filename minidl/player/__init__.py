"""The player: record what the engine does, and step through it forwards and backwards, in a page or a terminal.

    with player.record() as tape:                       # inside=True steps into fused layers
        with tape.scope("t=1"):                         # groups; "epoch 1" is one as well
            h = tape.name("h", (W @ x).tanh())          # most names come from the code by themselves
        L = (h * h).sum()
        L.backward()
        optimizer.step()
        tape.check(loss, W, x, name="L")                # gradients beside central differences
        tape.landscape(loss, a, b)                      # the picture of the way downhill
        tape.note("E01.1", {"zh": "…", "en": "…"}, passed=True)
    trace = tape.trace()
    trace.save("trace.json")
    player.play(trace, lang="en")                       # in a terminal
    page = player.page_html({"zh": "…", "en": "…"}, '<div class="player" data-trace="0"></div>', [trace])

The page is one file that asks for nothing from anywhere. In it a lesson may send a player another of its traces:
`place.dispatchEvent(new CustomEvent("trace", {detail: 1}))`.
"""

from minidl.player.mathml import mathml as mathml
from minidl.player.page import page_html as page_html
from minidl.player.tape import Tape as Tape
from minidl.player.tape import record as record
from minidl.player.terminal import play as play
from minidl.player.trace import Trace as Trace
