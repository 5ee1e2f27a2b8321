"""The cumulative normal distribution by an exponential and a polynomial, for targets without erf.

For v >= 0, with ``t = 3 / (3 + v)`` and ``s = 2 t - 1``, the distribution at -v is

    t / 2 * exp(p(s) - v**2 / 2)

where p interpolates the logarithm of ``erfcx(v / sqrt(2)) / t`` at Chebyshev points. gelu is then
``max(z, 0) - v * that`` with ``v = abs(z)``, which needs no case for negative z.
"""

# The coefficients of p, the constant first. The error of gelu is at most 8e-8 when computed in float32.
FLOAT32 = (
    -0.7214316725730896,
    0.6985911130905151,
    0.07146377861499786,
    -0.04191047325730324,
    -0.014899760484695435,
    0.006793069187551737,
    0.0031287716701626778,
    -0.0015211458085104823,
    -0.0004631136835087091,
    0.00024934540851972997,
)

# The same for float64, with an error of at most 7e-16.
FLOAT64 = (
    -0.7214318603904587,
    0.698591929582702,
    0.0714734325522867,
    -0.04192790611741715,
    -0.014978965402052805,
    0.006896222382795587,
    0.0033595826030463497,
    -0.0017796784543830104,
    -0.0007466875466092579,
    0.0005589723257363744,
    0.00013409930805107257,
    -0.0001796072535447655,
    -5.734567829750522e-06,
    5.2545435245924784e-05,
    -9.855806219994312e-06,
    -1.2618821956365312e-05,
    5.7230358032358805e-06,
    2.150268553439249e-06,
    -1.913505968937026e-06,
    -1.8755881216711423e-07,
    3.9999130893926383e-07,
    -1.1325039005475954e-09,
    -4.092777579855211e-08,
)
