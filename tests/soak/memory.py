"""What a daemon needs, second by second: memory and open files, over all of its lives."""
import collections
import itertools
import os
import pathlib
import statistics

MB = 1e6
# More than the longest memory of the soak's rules, in event time.
WARM_UP_H = 8
LEAST_SAMPLES = 40
GROWTH_SHARE, GROWTH_MB = 0.05, 16

Sample = collections.namedtuple("Sample", "seconds event_hours life age_hours rss_mb state_mb fds")


def look(pid):
    """(resident megabytes, open files) of a process, or nothing where it is gone."""
    try:
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        return int(resident.split()[1]) * 1024 / MB, len(os.listdir(f"/proc/{pid}/fd"))
    except (OSError, StopIteration):
        return None


def slope(points):
    """Of the line with the least squares; 0 for fewer than two places."""
    points = list(points)
    if len({x for x, _ in points}) < 2:
        return 0.0
    middle_x, middle_y = (statistics.fmean(values) for values in zip(*points))
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / sum((x - middle_x) ** 2 for x, _ in points)


class Memory:
    """What the samples of a run say: `verdict` is flat, grew, or short where there are too few to say so."""

    def __init__(self, samples):
        lives = [list(life) for _, life in itertools.groupby(samples, key=lambda sample: sample.life)]
        self.life = max(lives, key=lambda life: life[-1].age_hours, default=[])
        length = self.life[-1].age_hours if self.life else 0
        second = [sample for sample in self.life if length / 3 <= sample.age_hours < length * 2 / 3]
        third = [sample for sample in self.life if sample.age_hours >= length * 2 / 3]
        judged = second + third
        self.before_mb, self.after_mb = median(second, "rss_mb"), median(third, "rss_mb")
        self.fds_before, self.fds = median(second, "fds"), median(third, "fds")
        self.most_mb, self.most_fds = (max((getattr(sample, name) for sample in samples), default=0) for name in ("rss_mb", "fds"))
        self.state_mb = median(third, "state_mb")
        self.slope_mb_per_event_hour = slope((sample.event_hours, sample.rss_mb) for sample in judged)
        self.slope_mb_per_wall_hour = slope((sample.seconds / 3600, sample.rss_mb) for sample in judged)
        if min(len(second), len(third)) < LEAST_SAMPLES or second[0].event_hours < WARM_UP_H:
            self.verdict = "short"
        elif self.after_mb - self.before_mb > max(GROWTH_MB, GROWTH_SHARE * self.before_mb) or self.fds != self.fds_before:
            self.verdict = "grew"
        else:
            self.verdict = "flat"

    def text(self):
        length = self.life[-1].age_hours if self.life else 0
        return (f"memory: the longest life was {length:.1f} h of events; second third {self.before_mb:.0f} MB, last third {self.after_mb:.0f} MB, "
                f"of it {self.state_mb:.0f} MB of state; files {self.fds_before:.0f} and {self.fds:.0f}")


def median(samples, name):
    return statistics.median(getattr(sample, name) for sample in samples) if samples else 0
