"""`galwad cases`: the commands of the register of requests and complaints."""
