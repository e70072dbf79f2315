"""Run open language models at home, on a rented card and on cards that others lend."""
