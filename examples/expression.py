r"""
An expression, node by node
===========================

The chain rule on the smallest example that shows all of it: :math:`z = (x + y) \cdot w`.
"""

from bpkern.graph import variables

# %%
# Forward
# -------
#
# Each operation makes a node from its operands. Call the sum :math:`v_1`:
#
# .. math::
#
#    v_1 &= x + y = -2 + 5 = 3 \\
#    z &= v_1 \cdot w = 3 \cdot (-4) = -12

x, y, w = variables(x=-2, y=5, w=-4)
z = ((x + y) * w).named("z")
print(f"z = {z.value:.0f}")

# %%
# Backward
# --------
#
# Every operation knows the derivatives by its own operands, the *local* derivatives. A sum passes a change on
# as it is; a product passes it on times the other operand:
#
# .. math::
#
#    \frac{\partial v_1}{\partial x} = 1 \qquad
#    \frac{\partial v_1}{\partial y} = 1 \qquad
#    \frac{\partial z}{\partial v_1} = w = -4 \qquad
#    \frac{\partial z}{\partial w} = v_1 = 3
#
# The derivative of :math:`z` by any node is the product of the local derivatives along the path to it:
#
# .. math::
#
#    \frac{\partial z}{\partial x}
#    = \frac{\partial z}{\partial v_1} \cdot \frac{\partial v_1}{\partial x} = -4 \cdot 1 = -4

z.backward()
print(z.table())

# %%
# The picture goes through the computation step by step, first forward and then backward. Each edge has its
# local derivative, and each node its value and its gradient.

z

# %%
# Layers multiply, branches add
# -----------------------------
#
# If more than one path leads to a node, its gradient is the sum over the paths. In :math:`q = u \cdot u + u`
# the variable is used three times:
#
# .. math::
#
#    \frac{\partial q}{\partial u} = u + u + 1 = 3 + 3 + 1 = 7

[u] = variables(u=3)
q = (u * u + u).named("q")
q.backward()
print(f"dq/du = {u.gradient:.0f}")
q
