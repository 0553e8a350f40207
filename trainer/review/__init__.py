"""A person looks at what an audit suspects and decides, and the decisions are applied. docs/review.md

`items` is what is looked at, `index` the files by which an audit is known again, `page` the page to decide on,
`decisions` the file of decisions. From there to files: `plan` says where each file goes, `checking` that it is still
the one that was audited, `copying` copies or moves, `undo` takes a move back; `relabelled` does the same for a dataset
that has no files.
"""
