"""Tiny Python functions: a sentence that asks for one, the function, and a check that it does what was asked."""
# ruff: noqa: E501 - a table of sentences reads best with one sentence a line.

import random
from collections.abc import Callable

from tools.embedded.seeds import Seed

# (sentence, name, arguments, body, check). {n} is a small number, {a} a letter; {x}/{xs} names of an argument.
# The check is a Python expression over the function f that is true when it is right.
_SCALARS = ["number", "value", "n", "x"]
_LISTS = ["numbers", "values", "items", "data"]
_TEXTS = ["text", "word", "line", "s"]
FUNCTIONS: tuple[tuple[str, str, str, str, str], ...] = (
    ("adds {n} to a number", "add_{n}", "{x}", "return {x} + {n}", "f(5) == 5 + {n}"),
    ("subtracts {n} from a number", "subtract_{n}", "{x}", "return {x} - {n}", "f(5) == 5 - {n}"),
    ("multiplies a number by {n}", "times_{n}", "{x}", "return {x} * {n}", "f(5) == 5 * {n}"),
    ("divides a number by {n}", "divide_by_{n}", "{x}", "return {x} / {n}", "f(10) == 10 / {n}"),
    ("returns the square of a number", "square", "{x}", "return {x} * {x}", "f(7) == 49"),
    ("returns the cube of a number", "cube", "{x}", "return {x} ** 3", "f(3) == 27"),
    ("raises a number to the power of {n}", "power_{n}", "{x}", "return {x} ** {n}", "f(2) == 2 ** {n}"),
    ("adds two numbers", "add", "a, b", "return a + b", "f(2, 3) == 5"),
    ("subtracts the second number from the first", "subtract", "a, b", "return a - b", "f(7, 3) == 4"),
    ("multiplies two numbers", "multiply", "a, b", "return a * b", "f(4, 3) == 12"),
    ("returns the larger of two numbers", "larger", "a, b", "return a if a > b else b", "f(4, 9) == 9 and f(9, 4) == 9"),
    ("returns the smaller of two numbers", "smaller", "a, b", "return a if a < b else b", "f(4, 9) == 4 and f(9, 4) == 4"),
    ("returns the average of two numbers", "average", "a, b", "return (a + b) / 2", "f(4, 6) == 5"),
    ("returns the difference of two numbers without a sign", "distance", "a, b", "return abs(a - b)", "f(4, 9) == 5"),
    ("returns the area of a rectangle", "area", "width, height", "return width * height", "f(4, 9) == 36"),
    ("returns the perimeter of a rectangle", "perimeter", "width, height", "return 2 * (width + height)", "f(4, 9) == 26"),
    ("checks whether a number is even", "is_even", "{x}", "return {x} % 2 == 0", "f(4) and not f(5)"),
    ("checks whether a number is odd", "is_odd", "{x}", "return {x} % 2 == 1", "f(5) and not f(4)"),
    ("checks whether a number can be divided by {n}", "divides_{n}", "{x}", "return {x} % {n} == 0", "f({n} * 6) and not f({n} * 6 + 1)"),
    ("checks whether a number is greater than {n}", "above_{n}", "{x}", "return {x} > {n}", "f({n} + 1) and not f({n})"),
    ("checks whether a number is less than {n}", "below_{n}", "{x}", "return {x} < {n}", "f({n} - 1) and not f({n})"),
    ("checks whether a number is positive", "is_positive", "{x}", "return {x} > 0", "f(1) and not f(-1)"),
    ("returns the absolute value of a number", "absolute", "{x}", "return -{x} if {x} < 0 else {x}", "f(-4) == 4 and f(4) == 4"),
    ("changes the sign of a number", "negate", "{x}", "return -{x}", "f(3) == -3"),
    ("returns the last digit of a number", "last_digit", "{x}", "return {x} % 10", "f(38) == 8"),
    ("turns minutes into seconds", "to_seconds", "minutes", "return minutes * 60", "f(2) == 120"),
    ("turns hours into minutes", "to_minutes", "hours", "return hours * 60", "f(3) == 180"),
    ("turns metres into centimetres", "to_centimetres", "metres", "return metres * 100", "f(3) == 300"),
    ("sums the numbers in a list", "total", "{xs}", "return sum({xs})", "f([1, 2, 4]) == 7"),
    ("returns the largest number in a list", "largest", "{xs}", "return max({xs})", "f([1, 9, 4]) == 9"),
    ("returns the smallest number in a list", "smallest", "{xs}", "return min({xs})", "f([5, 2, 4]) == 2"),
    ("returns the first item of a list", "first", "{xs}", "return {xs}[0]", "f([5, 2]) == 5"),
    ("returns the last item of a list", "last", "{xs}", "return {xs}[-1]", "f([5, 2]) == 2"),
    ("returns the first {n} items of a list", "first_{n}", "{xs}", "return {xs}[:{n}]", "f(list(range(30))) == list(range({n}))"),
    ("returns the last {n} items of a list", "last_{n}", "{xs}", "return {xs}[-{n}:]", "f(list(range(30))) == list(range(30 - {n}, 30))"),
    ("reverses a list", "backwards", "{xs}", "return {xs}[::-1]", "f([1, 2, 3]) == [3, 2, 1]"),
    ("sorts a list", "in_order", "{xs}", "return sorted({xs})", "f([3, 1, 2]) == [1, 2, 3]"),
    ("counts the items in a list", "count", "{xs}", "return len({xs})", "f([3, 1, 2]) == 3"),
    ("keeps the even numbers of a list", "keep_even", "{xs}", "return [x for x in {xs} if x % 2 == 0]", "f([1, 2, 4]) == [2, 4]"),
    ("keeps the odd numbers of a list", "keep_odd", "{xs}", "return [x for x in {xs} if x % 2 == 1]", "f([1, 2, 5]) == [1, 5]"),
    ("keeps the numbers above {n} in a list", "keep_above_{n}", "{xs}", "return [x for x in {xs} if x > {n}]", "f([1, {n}, 99]) == [99]"),
    ("multiplies each number in a list by {n}", "scale_{n}", "{xs}", "return [x * {n} for x in {xs}]", "f([1, 3]) == [{n}, 3 * {n}]"),
    ("adds {n} to each number in a list", "shift_{n}", "{xs}", "return [x + {n} for x in {xs}]", "f([1, 3]) == [1 + {n}, 3 + {n}]"),
    ("squares each number in a list", "squares", "{xs}", "return [x * x for x in {xs}]", "f([1, 3]) == [1, 9]"),
    ("removes duplicates from a list", "unique", "{xs}", "return list(dict.fromkeys({xs}))", "f([1, 3, 1]) == [1, 3]"),
    ("returns the mean of a list of numbers", "mean", "{xs}", "return sum({xs}) / len({xs})", "f([1, 3]) == 2"),
    ("checks whether a list is empty", "is_empty", "{xs}", "return len({xs}) == 0", "f([]) and not f([1])"),
    ("checks whether a list contains {n}", "has_{n}", "{xs}", "return {n} in {xs}", "f([{n}]) and not f([0])"),
    ("counts how often {n} appears in a list", "count_{n}", "{xs}", "return {xs}.count({n})", "f([{n}, 0, {n}]) == 2"),
    ("reverses a string", "reverse", "{s}", "return {s}[::-1]", "f('abc') == 'cba'"),
    ("turns a string into capital letters", "shout", "{s}", "return {s}.upper()", "f('abc') == 'ABC'"),
    ("turns a string into small letters", "whisper", "{s}", "return {s}.lower()", "f('ABC') == 'abc'"),
    ("counts the letters of a string", "length", "{s}", "return len({s})", "f('abc') == 3"),
    ("counts the words of a sentence", "count_words", "{s}", "return len({s}.split())", "f('to the sea') == 3"),
    ("counts the vowels in a string", "count_vowels", "{s}", "return sum(c in 'aeiou' for c in {s})", "f('banana') == 3"),
    ("counts the letter {a} in a string", "count_{a}", "{s}", "return {s}.count('{a}')", "f('{a}{a}') == 2"),
    ("checks whether a string starts with {a}", "starts_with_{a}", "{s}", "return {s}.startswith('{a}')", "f('{a}1') and not f('1{a}')"),
    ("checks whether a string ends with {a}", "ends_with_{a}", "{s}", "return {s}.endswith('{a}')", "f('1{a}') and not f('{a}1')"),
    ("checks whether a string contains the letter {a}", "has_{a}", "{s}", "return '{a}' in {s}", "f('{a}') and not f('')"),
    ("removes the letter {a} from a string", "remove_{a}", "{s}", "return {s}.replace('{a}', '')", "f('1{a}2') == '12'"),
    ("removes spaces from a string", "squeeze", "{s}", "return {s}.replace(' ', '')", "f('a b') == 'ab'"),
    ("repeats a string {n} times", "repeat_{n}", "{s}", "return {s} * {n}", "f('ab') == 'ab' * {n}"),
    ("returns the first {n} letters of a string", "start_{n}", "{s}", "return {s}[:{n}]", "f('abcdefghijklmnopqrstuvwxyz')[-1] == 'abcdefghijklmnopqrstuvwxyz'[{n} - 1]"),
    ("checks whether a string is a palindrome", "is_palindrome", "{s}", "return {s} == {s}[::-1]", "f('level') and not f('lever')"),
    ("joins a list of words with spaces", "join_words", "words", "return ' '.join(words)", "f(['a', 'b']) == 'a b'"),
    ("returns the longest word in a list", "longest", "words", "return max(words, key=len)", "f(['a', 'bbb', 'cc']) == 'bbb'"),
    ("sums the numbers from 1 to a limit", "sum_to", "limit", "return sum(range(1, limit + 1))", "f(4) == 10"),
    ("lists the multiples of {n} up to a limit", "multiples_{n}", "limit", "return list(range({n}, limit + 1, {n}))", "f({n} * 2) == [{n}, {n} * 2]"),
    ("returns the factorial of a number", "factorial", "{x}", "result = 1\n    for i in range(2, {x} + 1):\n        result *= i\n    return result", "f(5) == 120"),
    ("counts down from a number to zero", "count_down", "{x}", "return list(range({x}, -1, -1))", "f(2) == [2, 1, 0]"),
    ("swaps two values", "swap", "a, b", "return b, a", "f(1, 2) == (2, 1)"),
    ("looks up a key in a dictionary and returns {n} if it is missing", "get_or_{n}", "table, key", "return table.get(key, {n})", "f({{}}, 'k') == {n}"),
    ("returns the keys of a dictionary in order", "keys_in_order", "table", "return sorted(table)", "f({{'b': 1, 'a': 2}}) == ['a', 'b']"),
    ("prints a greeting for a name", "greet", "name", "return 'Hello, ' + name + '!'", "f('Mia') == 'Hello, Mia!'"),
)  # fmt: skip
_ASKS = ("Write a Python function that {does}.", "Create a Python function that {does}.", "Write a function in Python that {does}.",
         "Define a function that {does}.", "Give me a short Python function that {does}.", "Implement a Python function which {does}.",
         "I need a Python function that {does}.", "Show me Python code for a function that {does}.")  # fmt: skip
_NAMED = (
    "Write a Python function {name} that {does}.",
    "Write a function called {name} that {does}.",
    "Define {name}({args}), which {does}.",
)


def function_and_check(rng: random.Random, entry: tuple[str, str, str, str, str] | None = None) -> tuple[Seed, str]:
    """A function task drawn at random and the expression over ``f`` that its function must make true."""
    does, name, args, body, check = entry or rng.choice(FUNCTIONS)
    slots = {
        "n": rng.randint(2, 20),
        "a": rng.choice("abcdefghiklmnoprstuvw"),
        "x": rng.choice(_SCALARS),
        "xs": rng.choice(_LISTS),
        "s": rng.choice(_TEXTS),
    }
    fill: Callable[[str], str] = lambda text: text.format(**slots)  # noqa: E731
    does, name, args = fill(does), fill(name), fill(args)
    ask = rng.choice(_ASKS if rng.random() < 0.75 else _NAMED).format(does=does, name=name, args=args)
    code = f"def {name}({args}):\n    {fill(body)}"
    seed = Seed(ask, "", "code", (code,), things=("function",), form=f"code {does}")
    if rng.random() < 0.12:
        seed = Seed(
            rng.choice(["What does this function do?", "Explain the code in one sentence.", "Describe what the Python code does."]),
            code, "code", (f"The function {name} {does}.",), things=("function",), form=f"explain {code}",
        )  # fmt: skip
    return seed, fill(check)


def function_seed(rng: random.Random) -> Seed:
    """A function task drawn at random."""
    return function_and_check(rng)[0]
