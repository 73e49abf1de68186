"""What is proved at every epsilon: Gaussian and Renyi curves, mixtures, composition, and the guarantee that states one."""

from typing import TYPE_CHECKING

from accountant.numerics import face

if TYPE_CHECKING:
    from accountant.curves.ball_curve import *
    from accountant.curves.block_curve import *
    from accountant.curves.contraction import *
    from accountant.curves.curves import *
    from accountant.curves.equal_blocks import *
    from accountant.curves.gdp import *
    from accountant.curves.guarantee import *
    from accountant.curves.hockey_stick import *
    from accountant.curves.keys import *
    from accountant.curves.mixture import *
    from accountant.curves.mixture_pair import *
    from accountant.curves.paid import *
    from accountant.curves.pair_curves import *
    from accountant.curves.precise import *
    from accountant.curves.renyi import *
    from accountant.curves.risk import *
    from accountant.curves.window_blocks import *
else:
    __getattr__, __all__ = face(
        __name__,
        ball_curve="BallCurve",
        block_curve="BlockCurve",
        contraction="CONTRACTION Chained averaged certain chained contracted contracted_in",
        curves="Curve GAUSSIAN_MIXTURE GDPCurve MARGIN RenyiCurve TANGENT excess_of readable rounded_up too_far_apart",
        equal_blocks="EqualBlocks",
        gdp="gdp_delta gdp_epsilon gdp_log_delta gdp_mu gdp_tradeoff mixture_delta mixture_epsilon mixture_log_delta "
        "mixture_tradeoff",
        guarantee="GAUSSIAN Guarantee",
        hockey_stick="MAX_MU mixture_log_scale mixture_tail mixture_tail_epsilon probability rounded_down",
        keys="origins points_of",
        mixture="Mixture",
        mixture_pair="mixture_pair_delta mixture_pair_epsilon mixture_pair_log_delta mixture_pair_scale mixture_pair_tradeoff",
        paid="AddedCurve CheapestCurve Paid RedrawnCurve cheapest settled unpaid",
        pair_curves="GaussianMixtureCurve",
        precise="PrivacyCurve",
        window_blocks="WindowBlocks Windows",
        renyi="MAX_ALPHA mixture_rdp rdp_delta rdp_epsilon rdp_to_epsilon",
        risk="Regret Risks",
    )
