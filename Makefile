.PHONY: setup test lint docs bench

setup:  ## an editable installation with everything that is small, and the hooks
	pip install -e '.[test,lint,plot,bench]' pre-commit
	pre-commit install

test:  ## the suite, without what takes minutes; all of it: .ci/run
	pytest

lint:
	ruff check .
	ruff format --check .
	lint-imports
	mypy

docs:  ## every example of the pages and the docstrings, and the picture of the README
	pytest tests/test_docs.py
	python docs/pictures/noise.py
	accountant tune --n 5000 --epsilon 1 --delta 1e-5 --requests 2/week --for 1y --plot docs/pictures/tune.svg

bench:
	pytest benchmarks -n 0
