"""Computing on the nodes of a Ray cluster, while judging and storing stay here.

``ray_cluster`` starts or finds a cluster, ``workers`` keeps a worker for each place on its nodes, ``worker`` is what
runs there, ``decoder`` gives questions out and takes answers in, and ``part_store`` keeps answers where all reach them.
"""
