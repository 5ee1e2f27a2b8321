"""What makes backpropagation visible: numbers as text, pictures and pages, by the standard library alone."""
