"""How many requests a server should have at once, found out while it works.

What is climbed is the server's throughput, not its latency: replies of a language model differ tenfold in length, and a
server that batches answers each request more slowly and still more of them in all, so a latency says little alone. At
a level that is kept full, throughput is the level over the mean latency (Little's law), so a cohort of requests sent
at one level and a cohort sent at the next one tell whether the step was worth it: a step up is kept when it gains at
least a tenth for every doubling. On a server with k slots that ends at k; where throughput rises and flattens, at nine
tenths of what is to be had; where it goes on, at the highest level. A step that did not pay is taken back, and after a
rest the next one goes the other way, so that the level follows a server that changes.

A server that refuses requests (429, 503, time-outs, no connection) says that it is too many by itself: the level then
falls, once a round trip, when more than a stray eighth of the latest tries was refused. Where a fall does not make the
refusals fewer they have another cause, and more of them are put up with.

No clock and no loop in here: the tests run it in simulated time.
"""

from math import ceil, log2, sqrt

START = 16
HIGHEST = 512
DOUBLING_GAIN = 1.1  # what doubling the level has to bring; smaller steps in proportion
GAIN_EXPONENT = log2(DOUBLING_GAIN)
STEP = 1.25
CAREFUL_STEP = 1.06  # towards a level that the server refused before
REST = 4  # cohorts; doubled, up to eight times, by each step that did not pay
LONGEST_REST = 32
COHORT = 200  # requests, where the level makes that no more than three round trips
FINISHED = 0.9  # of a cohort; the slowest tenth is not waited for, at any level
FALL = 0.85
STRAY = 0.125  # of the latest tries
MOST_STRAY = 0.5
FEW = 24  # tries; fewer say nothing


class AdaptiveLevel:
    """A level of concurrency that follows what a server can do.

    Args:
        timeout_s: what one try may take; the level does not rise where replies take a quarter of that.
        highest: the level is never above it.

    Attributes:
        limit: requests that may be in flight now, at least 1.
        falls: how often it fell because the server refused; a request carries the number with which it was sent.
    """

    def __init__(self, timeout_s: float, highest: int = HIGHEST) -> None:
        self.limit = min(START, highest)
        self.falls = 0
        self._highest = highest
        self._slow_s = timeout_s / 4
        self._doubling = True
        self._step = STEP
        self._up = True
        self._rest = 0
        self._next_rest = REST
        self._base: tuple[int, float] | None = None  # level and throughput before the step that is on trial
        self._recover_to = 0
        self._answered = False  # anything, since the last fall
        self._stray = STRAY
        self._calm = True  # since the last fall few were refused
        self._tries = self._refused = 0  # of those sent since the last fall
        self._cohort = 0
        self._begin_cohort()

    def sent(self, in_flight: int) -> int:
        """A request was sent.

        Args:
            in_flight: how many there are now, this one included.

        Returns:
            The number of the cohort that it belongs to, 0 for none.
        """
        if self._joined == self._size or (in_flight < FINISHED * self.limit and self._cohort > 1):
            return 0
        self._joined += 1
        return self._cohort

    def answered(self, cohort: int, falls: int, latency_s: float) -> None:
        """A request was answered after ``latency_s`` seconds; ``cohort`` and ``falls`` are what it was sent with."""
        self._answered = True
        if falls == self.falls:
            self._count(refused=False)
        if self.limit < self._recover_to:
            self.limit += 1
            self._begin_cohort()
        elif cohort == self._cohort:
            self._latencies.append(latency_s)
            if len(self._latencies) >= FINISHED * self._size:
                self._judge(sum(self._latencies) / len(self._latencies))

    def refused(self, cohort: int, falls: int) -> None:
        """The server refused a request, or none came through to it."""
        self.left(cohort)
        if falls == self.falls:  # sent before the last fall, it says nothing about the level since
            self._count(refused=True)
            expected = self._stray * max(self._tries, FEW)
            if self._refused > expected + 2 * sqrt(expected):
                self._fall()

    def left(self, cohort: int) -> None:
        """A request ended in a way that says nothing about the level."""
        if cohort == self._cohort:
            self._joined -= 1

    def _count(self, *, refused: bool) -> None:
        self._tries += 1
        self._refused += refused
        if self._tries >= max(2 * FEW, self.limit):
            if self._refused < self._stray / 3 * self._tries:
                self._calm = True
                self._stray = max(STRAY, self._stray / 1.5)
            self._tries, self._refused = self._tries // 2, self._refused // 2

    def _fall(self) -> None:
        known_good = self._base[0] if self._base is not None and self._base[0] < self.limit else 0
        self.limit = max(1, known_good, int(FALL * self.limit))
        # After an outage the way back is short: nothing speaks against the level of before.
        self._recover_to = self.limit if self._answered else max(self.limit, self._recover_to)
        self._answered = False
        if not self._calm:  # the fall before this one did not help
            self._stray = min(MOST_STRAY, 1.5 * self._stray)
        self._calm = False
        self.falls += 1
        self._tries = self._refused = 0
        self._doubling, self._step, self._up = False, CAREFUL_STEP, True
        self._settle(REST)

    def _settle(self, rest: int) -> None:
        """Stay at this level for so many cohorts."""
        self._base = None
        self._rest = rest
        self._begin_cohort()

    def _begin_cohort(self) -> None:
        self._cohort += 1
        full = max(self.limit, min(3 * self.limit, COHORT))
        self._size = max(FEW, self.limit // 2 if self._doubling else full)
        self._joined = 0
        self._latencies: list[float] = []

    def _judge(self, latency_s: float) -> None:
        """Decide by the throughput at this level where to go."""
        here = (self.limit, self.limit / max(latency_s, 1e-9))
        slow = latency_s > self._slow_s
        if self._base is None:
            self._rest -= 1
            if self._rest <= 0:
                self._up = self._up and not slow
                self._try_from(here)
            else:
                self._begin_cohort()
            return
        (low, low_rate), (high, high_rate) = sorted((self._base, here))
        worth = high_rate >= low_rate * (high / low) ** GAIN_EXPONENT and not slow
        if worth == (high == self.limit):
            if self._up:
                self._step = min(STEP, self._step**2)
            self._next_rest = REST
            self._try_from(here)
            return
        self.limit = self._base[0]
        if self._doubling:
            self._doubling = False  # smaller steps may pay yet
            self._settle(1)
        else:
            self._turn()

    def _turn(self) -> None:
        """Rest, longer each time, then try the other way."""
        self._up = not self._up
        self._settle(self._next_rest)
        self._next_rest = min(LONGEST_REST, 2 * self._next_rest)

    def _try_from(self, here: tuple[int, float]) -> None:
        """Go a step further, or rest where there is none."""
        step = 2.0 if self._doubling else self._step
        if self._up:
            target = min(self._highest, max(self.limit + 1, round(self.limit * step)))
        else:
            target = max(1, min(self.limit - 1, ceil(self.limit / STEP)))
        if target == self.limit:
            self._doubling = False
            self._turn()
            return
        self._base = here
        self.limit = target
        self._begin_cohort()
