"""Whether an output of the pocket models shows what its prompt says.

``world`` has the words, ``detector`` reads finished frames without any network, ``prompts`` reads
plain sentences, ``following`` holds the two against each other.
"""
