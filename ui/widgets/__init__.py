"""Parts of pages that take input: model choice, uploads, forms, notices."""
