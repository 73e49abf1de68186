"""The methods side by side: noisy SGD under each bound, and what it competes with, by name in ``METHODS``."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.methods.about import *
    from accountant.methods.base import *
    from accountant.methods.comparison import *
    from accountant.methods.finetune import *
    from accountant.methods.names import *
    from accountant.methods.output import *
    from accountant.methods.pnsgd import *
    from accountant.methods.removals import *
    from accountant.methods.stepping import *
    from accountant.methods.steps import *
    from accountant.methods.variants import *
else:
    __getattr__, __all__ = face(
        __name__,
        about="About DATA LOSSES OURS REQUESTS",
        base="Method Needed Peer Stream Unit",
        comparison="Compared ComparedStream FIELD Reported SINGLE STREAMS compare compare_streams enclosed_sigma noise_curve "
        "retrain_evaluations",
        finetune="ClippingFormula GradientClipping ModelClipping",
        names="METHODS STEP_METHODS",
        output="Release",
        pnsgd="BoundMethod BoundStream Target",
        removals="GRADIENTS RemovalBudget removals_left",
        stepping="ComparedSteps STEPWISE compare_steps steps_curve",
        steps="StepBound StepMethod",
        variants="VARIANTS drawn_as method_of",
    )
