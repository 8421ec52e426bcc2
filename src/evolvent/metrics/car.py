"""CAR, compatibility-adjusted reward: how good a teacher's answers are, and how likely the base model finds them.

Source: arXiv 2411.07133. Its beta is not published where it could be found; 3 is what an independent implementation
takes (XuanRen4470/SPPL), as it takes L for the mean over samples of the mean loss a token, after the instruction.
"""

BETA = 3.0
SWEEP = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)


def car(reward: float, loss: float, beta: float = BETA) -> float | None:
    """CAR = r / (1 + beta L) of a data set. Higher is better.

    Args:
        reward: r, the mean reward of its answers.
        loss: L, the mean of ``response_loss``, in nats a token.
        beta: how much the loss counts; 0 ranks by reward alone.

    Returns:
        The value; None if the mean reward is below 0: a higher loss would then raise it.
    """
    return reward / (1 + beta * loss) if reward >= 0 else None
