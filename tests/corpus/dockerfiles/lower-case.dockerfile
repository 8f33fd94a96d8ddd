from scratch as Base
env A=1
from base
workdir /x
cmd ["a"]
