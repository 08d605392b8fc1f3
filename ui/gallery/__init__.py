"""The gallery: pictures of a folder with their captions, to look through, edit, caption and export."""
