// New study.
