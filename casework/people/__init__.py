"""Units, officers, certificates and badges: the bureau's register, and who somebody is."""
