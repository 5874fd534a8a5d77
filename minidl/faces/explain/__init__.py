"""Why a model gave its answer, as arrays and as pictures."""

from minidl.faces.explain.explanation import Explanation as Explanation
from minidl.faces.explain.explanation import enlarged as enlarged
from minidl.faces.explain.explanation import overlay as overlay
from minidl.faces.explain.face import METHODS as METHODS
from minidl.faces.explain.face import explain_face as explain_face
from minidl.faces.explain.gradients import grad_cam as grad_cam
from minidl.faces.explain.gradients import gradient_map as gradient_map
from minidl.faces.explain.gradients import gradient_times_input as gradient_times_input
from minidl.faces.explain.occlusion import likeness as likeness
from minidl.faces.explain.occlusion import occlusion_map as occlusion_map
from minidl.faces.explain.pairs import Neighbour as Neighbour
from minidl.faces.explain.pairs import Pair as Pair
from minidl.faces.explain.pairs import WorstPairs as WorstPairs
from minidl.faces.explain.pairs import nearest_neighbours as nearest_neighbours
from minidl.faces.explain.pairs import pairs_picture as pairs_picture
from minidl.faces.explain.pairs import worst_pairs as worst_pairs
from minidl.faces.explain.rollout import attention_weights as attention_weights
from minidl.faces.explain.rollout import roll_out as roll_out
from minidl.faces.explain.rollout import rollout_map as rollout_map
