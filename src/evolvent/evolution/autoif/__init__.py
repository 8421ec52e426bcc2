"""AutoIF (arXiv 2406.13542): instructions that code can verify, the code, and answers that pass it.

Two nouns: a *verification function* says of an answer whether it follows an instruction; a *query* is a question that
an instruction is asked with. An instruction for which functions were found is *verified*; to *verify* answers is to run
its functions on them.

========  =====================================================================================================
step 1    ``self_instruct``: new instructions
step 2-6  ``find_functions`` for one instruction, by way of ``functions`` (2), ``cross_validation`` (3),
          ``back_translation`` (4, 5) and ``queries`` (6); the ``functions_file`` holds what was found
step 7-8  ``answers`` to one instruction with one query, verified and scored
step 9    ``training_rows``: SFT rows, DPO pairs
========  =====================================================================================================

``autoif`` has the three stages, ``options`` what the user says, ``rules`` the constants, ``settings`` what the steps
work with, ``funnel`` how many come through; ``verify`` is the command for the answers of any dataset.
"""
