"""What plays the part of AWS's training and inference toolkits in a Python
runtime of this machine.

Plain Python 3.8 or later and its standard library: the package runs inside
any interpreter that a user names, and changes nothing in it.
"""
