"""What is trained and how: problems, algorithms, schedules, references, and the constants that the paper published."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.problem.algorithm import *
    from accountant.problem.assignment import *
    from accountant.problem.constants import *
    from accountant.problem.derivation import *
    from accountant.problem.deriving import *
    from accountant.problem.formats import *
    from accountant.problem.loads import *
    from accountant.problem.losses import *
    from accountant.problem.problem import *
    from accountant.problem.published import *
    from accountant.problem.rates import *
    from accountant.problem.reading import *
    from accountant.problem.reference import *
    from accountant.problem.rounding import *
    from accountant.problem.schedule import *
    from accountant.problem.shapes import *
    from accountant.problem.stages import *
    from accountant.problem.stepping import *
else:
    __getattr__, __all__ = face(
        __name__,
        algorithm="LAST_BATCH MAX_POSITIONS PNSGD",
        assignment="ASSIGNMENTS FRESH PARTITION POISSON SECRET",
        constants="Constants DOUBLES Number constants_of exact_gap exact_step_size",
        derivation="DERIVED LAMBDA Derivation",
        deriving="LOSS_WORDS derive with_constants",
        formats="UNITS gamma",
        losses="LOSS_CONSTANTS LogisticConstants LossConstants MultinomialConstants RidgeConstants SmoothedHingeConstants "
        "hessian_lipschitz loss_constants_of",
        loads="Oversize load_limit oversize too_large",
        problem="ADJACENCIES Problem",
        published="PRESETS PRESET_DIMENSIONS PUBLISHED_EPOCHS PUBLISHED_RADIUS default_retrain_epochs preset",
        reading="Read binary decimal",
        rates="Rate constant cosine inverse_time step_decay",
        reference="Batches CONVERGED MATCHED RANDOM RESHUFFLE Reference WORST describe parse_reference",
        shapes="SHAPES",
        rounding="MAX_EPSILON REMEDIES Rounding in_exact_numbers noise_in_units norm_scale rounding_of",
        schedule="Learn Phase Schedule Unlearn",
        stages="Stage Stages closed",
        stepping="CENTRE ConvexHoelder ConvexNonsmooth FineTuning HoelderNonconvex STARTS STEPPING SmoothNonconvex Stepping",
    )
