"""Win rates from pairwise verdicts: raw, and with the length of the answers controlled for.

Source: the winning score is arXiv 2308.12032's, (wins - losses) / n + 1. The length-controlled rate is AlpacaEval 2's
idea (arXiv 2404.04475): a logistic model of the verdict with a term for the difference in length, and what it says
where that is 0. Its term for the instructions' difficulty needs many models' verdicts, so it is left out here.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

# Inverse strength of the L2 penalty: next to none, but where all verdicts are alike the model still has a solution.
C = 100.0


def length_controlled(wins: "np.ndarray", differences: "np.ndarray") -> float | None:
    """The win rate at equal length.

    Args:
        wins: 1 for a win, 0.5 for a tie, 0 for a loss.
        differences: length of the answer minus length of the other's, in characters.

    Returns:
        A share between 0 and 1; None where all verdicts are wins, or all losses, or there are fewer than two.
    """
    import numpy as np
    from sklearn.linear_model import LogisticRegression

    if len(wins) < 2 or np.all(wins == 1) or np.all(wins == 0):
        return None
    spread = float(np.std(differences))
    term = np.tanh(differences / spread) if spread else np.zeros(len(wins))
    # A tie is half a win and half a loss.
    rows = np.concatenate([term, term])[:, None]
    verdicts = np.repeat([1, 0], len(wins))
    weights = np.concatenate([wins, 1 - wins])
    model = LogisticRegression(C=C).fit(rows[weights > 0], verdicts[weights > 0], sample_weight=weights[weights > 0])
    return float(model.predict_proba(np.zeros((1, 1)))[0, 1])
