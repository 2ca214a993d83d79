"""What others see of a run or a dataset: its cards, and the push to the Hub.

In comes a directory as training or emission left it; out come README.md files with their pictures
(``complete.complete_dataset``, ``model_card.write_model_card``), and repositories (``push``). It reads what is on the
disk and imports no model. Recipes and the verbs of ``synthdata`` call it, once what they tell of is finished.
"""
