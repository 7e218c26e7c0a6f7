"""Search for named things and values by what people call them: misspelt, without accents, in another order or language.

    things       what is found: named things (titles, people) and the values of columns
    words        texts as words that compare: folded letters, joined and split words, numerals
    likeness     how much a name is what was asked for
    shelf        an index of things on disk or in memory, which proposes candidates (tantivy)
    finder       open indexes: proposes by shelf, judges by likeness
    codes        names of countries and languages for columns that hold their codes
    remote       indexes of lakes in object storage

Importing this costs nothing; the libraries are imported by the first index that is opened or built.
"""
