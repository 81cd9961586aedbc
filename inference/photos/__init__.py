"""From the address of a photo to its pixels, without trusting either.

``sources`` fetches the bytes, from listed folders, hosts and buckets only; ``decode`` makes pixels of them;
``statistics`` tells what drift is watched by.  Whatever the input, the only error is ``BadInput``, with a
reason that ``reasons`` lists.
"""
