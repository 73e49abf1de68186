"""The question and the answer: settings, the accountant, ``solve`` and answers to many digits."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.questions.accountant import *
    from accountant.questions.enclosing import *
    from accountant.questions.outcome import *
    from accountant.questions.problem_file import *
    from accountant.questions.query import *
    from accountant.questions.searches import *
    from accountant.questions.settings import *
    from accountant.questions.setup import *
    from accountant.questions.solving import *
    from accountant.questions.step_accountant import *
    from accountant.questions.step_unknowns import *
    from accountant.questions.stepping import *
else:
    __getattr__, __all__ = face(
        __name__,
        accountant="UnlearningAccountant",
        enclosing="Enclosed exact_delta enclose exact_inputs",
        outcome="Outcome Unknown Value",
        query="raised",
        searches="NotUniqueWarning",
        problem_file="ALGORITHM DEFAULT KEYS LENGTH LOSS SCHEDULE STEP_KEYS TARGET TRAFFIC delta_of read_toml",
        settings="BATCHES Loaded check_complete load merged step_schedule stepping_of",
        setup="Setup",
        step_accountant="StepAccountant",
        step_unknowns="solve_steps",
        stepping="StepOutcome",
        solving="solve",
    )
