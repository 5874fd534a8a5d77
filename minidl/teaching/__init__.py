"""What a lesson imports: values, traces, gradient checks, pictures, knobs and exercises.

The same lesson runs as a script, as a notebook and as a page; the helpers show each thing as fits the place.
"""

from minidl.teaching.drawing import bars as bars
from minidl.teaching.drawing import beside as beside
from minidl.teaching.drawing import contour as contour
from minidl.teaching.drawing import curves as curves
from minidl.teaching.drawing import graph as graph
from minidl.teaching.drawing import heat as heat
from minidl.teaching.drawing import image as image
from minidl.teaching.drawing import points as points
from minidl.teaching.drawing import window as window
from minidl.teaching.errors import LessonError as LessonError
from minidl.teaching.exercises import Exercise as Exercise
from minidl.teaching.exercises import Wrong as Wrong
from minidl.teaching.exercises import check as check
from minidl.teaching.gradients import gradcheck as gradcheck
from minidl.teaching.knobs import knob as knob
from minidl.teaching.pictures import picture as picture
from minidl.teaching.showing import show as show
from minidl.teaching.stage import fast as fast
from minidl.teaching.stage import language as language
from minidl.teaching.tracing import trace as trace
