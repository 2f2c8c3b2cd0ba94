"""Time of a text search over 100,000 questions: ``python -m bench.search``.

The questions are random words of the starter set in its proportions. All begin alike, which is the slowest case.
"""

import random
import statistics
import time

from hcl_core import registry
from hcl_core.questions.own import make_question
from hcl_core.questions.search import QuestionIndex

NUM_QUESTIONS, REPEATS = 100_000, 20
SEARCHES = ("w", "wh", "what", "what is the", "planet", "what is the capital of france", "zzz")


def main() -> None:
    """Print the time to build the index, and the median of each search."""
    starter = registry.load_questions("starter").load()
    words = [word for question in starter for word in question.text.split()]
    draw = random.Random(0)
    questions = [
        make_question(
            "What is the " + " ".join(draw.choices(words, k=8)),
            list(draw.choice(starter).accepted_answers[:5]),
            str(number),
        )
        for number in range(NUM_QUESTIONS)
    ]
    started = time.perf_counter()
    index = QuestionIndex(questions)
    print(f"{NUM_QUESTIONS:,} questions indexed in {time.perf_counter() - started:.1f} s")
    for text in SEARCHES:
        times = []
        for _ in range(REPEATS):
            started = time.perf_counter()
            hits = index.search(text)
            times.append(time.perf_counter() - started)
        print(f"{text!r:34} {1000 * statistics.median(times):6.1f} ms  {len(hits)} shown")


if __name__ == "__main__":
    main()
