"""The reference trainer: losses, noisy SGD exactly as it is accounted for, baselines, estimators, audit and data."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.trainer.auditing import *
    from accountant.trainer.baselines import *
    from accountant.trainer.before import *
    from accountant.trainer.cautions import *
    from accountant.trainer.classifier import *
    from accountant.trainer.constants import *
    from accountant.trainer.convex_losses import *
    from accountant.trainer.costs import *
    from accountant.trainer.data import *
    from accountant.trainer.estimator_auditing import *
    from accountant.trainer.faults import *
    from accountant.trainer.fine_tuning import *
    from accountant.trainer.history import *
    from accountant.trainer.instances import *
    from accountant.trainer.losses import *
    from accountant.trainer.newton import *
    from accountant.trainer.pipelines import *
    from accountant.trainer.points import *
    from accountant.trainer.regressor import *
    from accountant.trainer.runs import *
    from accountant.trainer.step_auditing import *
    from accountant.trainer.step_instances import *
    from accountant.trainer.step_losses import *
    from accountant.trainer.training import *
else:
    __getattr__, __all__ = face(
        __name__,
        auditing="Audit LEAST audit",
        baselines="descent_to_delete langevin release retrain",
        before="learned_steps",
        cautions="LearnedStepWarning RescaledRowsWarning UnlearningWarning WeightsCutWarning",
        classifier="PNSGDClassifier",
        constants="check_constants measure",
        convex_losses="AbsoluteError Hinge PowerError PowerHinge",
        costs="Cost foreseen_steps requested",
        data="Digits load load_digits load_mnist random_points read_idx unit_rows",
        estimator_auditing="EstimatorAudit audit_estimator",
        faults="DRAW_FAULTS FAULTS Faulty check_fault",
        fine_tuning="STEP_FAULTS fine_tune",
        history="OvertakenError",
        instances="Asked Claim Instance data_instance gaussian_instance logistic_instance secret_instance",
        losses="Array LOSSES Logistic Loss Multinomial Ridge SmoothedHinge",
        newton="NewtonAudit NewtonRun audit_newton newton_learn",
        pipelines="check_pipeline learn_more_in unlearn_in",
        points="accuracy check_points gradient objective predict scores",
        regressor="PNSGDRegressor",
        runs="Run",
        step_auditing="LEAST_SAMPLES StepInstance ToldApart audit_steps tell_apart",
        step_instances="double_well_instance hoelder_instance nonsmooth_instance perceptron_instance repulsive_instance",
        step_losses="DoubleWell Perceptron Repulsive StepLoss",
        training="Trainer",
    )
