"""What lies in a disclosure package and how it is written and checked as a bag; its pages and tools lie beside."""
