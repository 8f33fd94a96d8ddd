FROM scratch
ENV A some value  with   blanks
ENV B "quoted value" and more
ENV C it\'s
ENV D $A!
