"""Search for named things and values by what people call them: misspelt, without accents, in another order or language.

    things       what is found: named things (titles, people) and the values of columns
    values       values of a column as things, with the names of codes
    words        texts as words that compare: folded letters, joined words, numerals
    likeness     how much a name is what was asked for
    queries      what is asked of an index for the words of a text
    shelf        an index of things on disk or in memory, which proposes candidates (tantivy)
    finder       open indexes: the shelves propose, likeness judges
    building     builds and updates indexes in folders
    published    the indexes of a lake's generations, in a folder or in object storage

Importing this costs nothing; the libraries are imported by the first index that is opened or built.
"""
