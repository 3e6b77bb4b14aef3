"""Helpers of the tests of `telephony.b2bua`: a network, phones and a switch without sockets."""
