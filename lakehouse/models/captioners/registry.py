"""From the settings of a captioner to its descriptor, or to the captioner itself.

A backend is known here by its settings only; what it does stands in its own file.
"""

from lakehouse.models.captioners import measured, vision
from lakehouse.models.captioners.protocol import Captioner, CaptionerDescriptor
from lakehouse.models.vision.registry import load as load_model
from lakehouse.settings import CaptionerSettings, MeasuredCaptioner


def describe(settings: CaptionerSettings) -> CaptionerDescriptor:
    """What identifies the captioner: loads no model and asks no server.

    Raises UserError for a prompt file that can't be read.
    """
    if isinstance(settings, MeasuredCaptioner):
        return measured.describe(settings)
    return vision.describe(settings)


def load(settings: CaptionerSettings) -> Captioner:
    """The captioner, ready to work. An API key is taken from the environment variable that the
    settings name. Raises UserError for settings that can't work.
    """
    if isinstance(settings, MeasuredCaptioner):
        return measured.MeasuredCaptions(settings)
    return vision.VisionCaptions(settings, load_model(settings))
