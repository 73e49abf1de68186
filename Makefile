.PHONY: setup test lint docs field pictures bench

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

docs:  ## the site, into build/site: a warning is an error, its notebooks run, links inside must lead somewhere (extra docs)
	sphinx-build -q -W --keep-going docs build/site

field:  ## the table of the page of methods, made anew from the rows
	python docs/_site/field.py

pictures:  ## those of the pages, drawn again (extra plot)
	python docs/pictures/draw.py

bench:
	pytest benchmarks -n 0
