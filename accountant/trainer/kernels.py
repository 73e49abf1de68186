"""The steps of one trial and the noise of NumPy's generator, compiled by numba; imported only where it is installed.

Everything is in this one file: numba compiles again what it has kept where the file of a kernel changes, and looks at no other.
:mod:`accountant.trainer.fast` decides where these are used. Parameters, sums and noise are float64, rows float32 or float64.
Sums of products may be taken in any order and fused, as the account of rounding allows (:mod:`accountant.problem.rounding`);
nothing else is reordered, and what overflows stays infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from llvmlite import ir
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.random._constants import fi_double, ki_double, wi_double, ziggurat_nor_inv_r, ziggurat_nor_r

#: What a residual is, and so what ``step`` does with scores.
LOGISTIC, SMOOTHED_HINGE, SQUARES, MULTINOMIAL = range(4)
#: Rows whose products are taken at a time: as many as leave room for parameters and their gradient in the first cache.
_ROWS: Final = 8
_SUMS: Final = frozenset({"reassoc", "contract", "nsz"})
#: The multiplier of PCG64, of 128 bits.
_MULTIPLIER: Final = 0x2360ED051FC65DA44385DF649FCCF645
#: NumPy's tables of the ziggurat.
_KI, _WI, _FI = (np.asarray(ki_double, dtype=np.uint64), np.asarray(wi_double), np.asarray(fi_double))
_R, _INVERSE_R = float(ziggurat_nor_r), float(ziggurat_nor_inv_r)
_UNIT: Final = 2.0**-53
_NOT_KEPT: Final[list[str]] = []


def kept() -> bool:
    """Whether what is compiled is kept for the next process."""
    return not _NOT_KEPT


def _compiled(fastmath: frozenset[str] = frozenset()) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """numba's decorator. What is compiled is kept beside this file or in the user's cache, if either can be written."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        options: dict[str, Any] = {"error_model": "numpy", "nogil": True, "fastmath": set(fastmath)}
        try:
            return njit(cache=True, **options)(function)
        except RuntimeError:
            _NOT_KEPT.append(function.__name__)
            return njit(**options)(function)

    return decorate


@intrinsic  # type: ignore[untyped-decorator]
def _next(context: Any, high: Any, low: Any, step_high: Any, step_low: Any) -> Any:  # pragma: no cover - compiled
    """The next state (high, low) of PCG64 and its 64 random bits: XSL-RR of the state after the step."""
    word = types.uint64

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        i64, i128 = ir.IntType(64), ir.IntType(128)

        def wide(upper: Any, lower: Any) -> Any:
            return builder.or_(builder.shl(builder.zext(upper, i128), ir.Constant(i128, 64)), builder.zext(lower, i128))

        upper, lower, *increment = arguments
        state = builder.add(builder.mul(wide(upper, lower), ir.Constant(i128, _MULTIPLIER)), wide(*increment))
        lower, upper = builder.trunc(state, i64), builder.trunc(builder.lshr(state, ir.Constant(i128, 64)), i64)
        mixed, turn = builder.xor(upper, lower), builder.lshr(upper, ir.Constant(i64, 58))
        rotate = cgutils.get_or_insert_function(builder.module, ir.FunctionType(i64, [i64] * 3), "llvm.fshr.i64")
        return context.make_tuple(builder, signature.return_type, [upper, lower, builder.call(rotate, [mixed, mixed, turn])])

    return types.UniTuple(word, 3)(word, word, word, word), build


@intrinsic  # type: ignore[untyped-decorator]
def _pointer(context: Any, address: Any, like: Any) -> Any:  # pragma: no cover - compiled
    """An address as one of numbers of the type of ``like``."""

    def build(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

    return types.CPointer(like.dtype)(types.int64, like), build


@_compiled()
def _row(address, like):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """The row (d,) that begins at this address."""
    return carray(_pointer(address, like), (like.shape[1],))


@_compiled()
def normals(state, out):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Fill out (m,) with what ``standard_normal`` of a PCG64 generator draws next.

    state: (4,) uint64, both halves of its state, which are those after the draws when this returns, and of its increment.
    Line by line NumPy's ziggurat, tail and edges included, so that numbers and state are NumPy's bit for bit.
    """
    high, low, step_high, step_low = state[0], state[1], state[2], state[3]
    at = 0
    while at < out.size:
        high, low, bits = _next(high, low, step_high, step_low)
        layer = bits & np.uint64(0xFF)
        size = (bits >> np.uint64(9)) & np.uint64(0x000FFFFFFFFFFFFF)
        x = np.float64(np.int64(size)) * _WI[layer]
        if bits & np.uint64(0x100):
            x = -x
        if size < _KI[layer]:
            out[at] = x
            at += 1
            continue
        high, low, bits = _next(high, low, step_high, step_low)
        u = np.float64(bits >> np.uint64(11)) * _UNIT
        if layer > 0:
            if (_FI[layer - np.uint64(1)] - _FI[layer]) * u + _FI[layer] < math.exp(-0.5 * x * x):
                out[at] = x
                at += 1
            continue
        while True:
            beyond = -_INVERSE_R * math.log1p(-u)
            high, low, bits = _next(high, low, step_high, step_low)
            height = -math.log1p(-(np.float64(bits >> np.uint64(11)) * _UNIT))
            if height + height > beyond * beyond:
                out[at] = -(_R + beyond) if (size >> np.uint64(8)) & np.uint64(1) else _R + beyond
                at += 1
                break
            high, low, bits = _next(high, low, step_high, step_low)
            u = np.float64(bits >> np.uint64(11)) * _UNIT
    state[0], state[1] = high, low


@_compiled(_SUMS)
def _products(x0, x1, x2, x3, x4, x5, x6, x7, w, s):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Products of eight rows with w (d,), into s (8,)."""
    s0, s1, s2, s3, s4, s5, s6, s7 = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(w.size):
        v = w[j]
        s0 += x0[j] * v
        s1 += x1[j] * v
        s2 += x2[j] * v
        s3 += x3[j] * v
        s4 += x4[j] * v
        s5 += x5[j] * v
        s6 += x6[j] * v
        s7 += x7[j] * v
    s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7] = s0, s1, s2, s3, s4, s5, s6, s7


@_compiled(frozenset({"contract"}))
def _add(x0, x1, x2, x3, x4, x5, x6, x7, r, g):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Add eight rows times r (8,) to g (d,)."""
    r0, r1, r2, r3, r4, r5, r6, r7 = r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7]
    for j in range(g.size):
        front = (r0 * x0[j] + r1 * x1[j]) + (r2 * x2[j] + r3 * x3[j])
        back = (r4 * x4[j] + r5 * x5[j]) + (r6 * x6[j] + r7 * x7[j])
        g[j] += front + back


@_compiled()
def _residual(kind, width, s, y):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Derivative of a loss of one score."""
    if kind == LOGISTIC:
        # Where exp overflows it is the zero that it should be.
        return -y / (1.0 + math.exp(y * s))
    if kind == SMOOTHED_HINGE:
        return -y * min(max((1.0 - y * s) / width, 0.0), 1.0)
    return s - y


@_compiled()
def _softmax(s, q, label):  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    """Scores s (classes, 8) of row q become probabilities less one of the label."""
    top, total = s[0, q], 0.0
    for c in range(1, s.shape[0]):
        top = max(top, s[c, q])
    for c in range(s.shape[0]):
        s[c, q] = math.exp(s[c, q] - top)
        total += s[c, q]
    for c in range(s.shape[0]):
        s[c, q] /= total
    s[label, q] -= 1.0


@_compiled()
def _gradient(kind, width, w, like, labels, limits, rows, low, high, s, g):  # type: ignore[no-untyped-def]  # pragma: no cover
    """Sum of the clipped data gradients at w (outputs, d) of the visits low ... high - 1, into g; each row is read once."""
    g[:] = 0.0
    for first in range(low, high, _ROWS):
        count, last = min(_ROWS, high - first), high - 1
        # What is missing of eight rows is the last one, with residual zero.
        x0, x1 = _row(rows[first], like), _row(rows[min(first + 1, last)], like)
        x2, x3 = _row(rows[min(first + 2, last)], like), _row(rows[min(first + 3, last)], like)
        x4, x5 = _row(rows[min(first + 4, last)], like), _row(rows[min(first + 5, last)], like)
        x6, x7 = _row(rows[min(first + 6, last)], like), _row(rows[min(first + 7, last)], like)
        for c in range(w.shape[0]):
            _products(x0, x1, x2, x3, x4, x5, x6, x7, w[c], s[c])
        for q in range(_ROWS):
            if q >= count:
                s[:, q] = 0.0
            elif kind == MULTINOMIAL:
                _softmax(s, q, np.int64(labels[first + q]))
            else:
                r = _residual(kind, width, s[0, q], labels[first + q])
                if limits.size:
                    r = max(min(r, limits[first + q]), -limits[first + q])
                s[0, q] = r
        for c in range(w.shape[0]):
            _add(x0, x1, x2, x3, x4, x5, x6, x7, s[c], g[c])


@_compiled()
def steps(  # type: ignore[no-untyped-def]  # pragma: no cover - compiled
    kind, width, w, like, labels, limits, rows, starts, ends, rates, shrink, noise, std, radius, first
):
    """All steps, in place on parameters w (outputs, d).

    like: (0, d), of the rows' type. rows: (m,), the addresses of the visited rows; labels: (m,), limits: (m,) or (0,), theirs.
    starts, ends: (visited batches,). rates: (steps,), step sizes over divisors; shrink: (steps,). noise: (steps, outputs, d),
    or none, (0, ...), of standard deviations std (steps,). radius: infinite for none. first: the batch of the first step.
    """
    outputs, features = w.shape
    g, s = np.empty((outputs, features)), np.empty((outputs, _ROWS))
    for k in range(rates.size):
        batch = (first + k) % starts.size
        _gradient(kind, width, w, like, labels, limits, rows, starts[batch], ends[batch], s, g)
        square = 0.0
        for c in range(outputs):
            for j in range(features):
                v = w[c, j] * shrink[k] - g[c, j] * rates[k]
                if noise.size:
                    v += noise[k, c, j] * std[k]
                w[c, j] = v
        if radius < np.inf:
            for c in range(outputs):
                for j in range(features):
                    square += w[c, j] * w[c, j]
            norm = math.sqrt(square)
            if norm > radius:
                w *= radius / norm
