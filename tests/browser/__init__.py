"""A package, because pytest closes fixtures of the scope "package" only after a package's last test."""
