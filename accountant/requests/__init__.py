"""Requests over time: streams, arrivals, plans, and the window and noise that cost least."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.requests.adaptive import *
    from accountant.requests.arrivals import *
    from accountant.requests.certified import *
    from accountant.requests.classes import *
    from accountant.requests.enclosed import *
    from accountant.requests.planning import *
    from accountant.requests.rules import *
    from accountant.requests.settings import *
    from accountant.requests.stream import *
    from accountant.requests.tradeoff import *
    from accountant.requests.traffic import *
    from accountant.requests.tuned import *
    from accountant.requests.tuning import *
    from accountant.requests.windows import *
else:
    __getattr__, __all__ = face(
        __name__,
        adaptive="about_every_point",
        arrivals="Arrival read_requests",
        traffic="Expected duration expected_requests told",
        classes="Classes counted_classes",
        certified="GroupGrid StatedAfter counts_at_worst epochs_counted stated_after",
        enclosed="EnclosedStream",
        planning="Plan PlannedRequest Reached make_plan reached",
        settings="AUTO HEARD LOUD SHARE TunedSetting redraws",
        rules="CurveAfter",
        stream="Followed UNITS UnlearningStream",
        tuned="Tried Tuned tune",
        tuning="choose_setting",
        tradeoff="TradeOff model_noise trade_off",
        windows="optimize",
    )
