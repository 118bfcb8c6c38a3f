# Writes the messages that each team would get. Sending them is left out: a message carries the step's idempotency key,
# by which a mail gateway would know a second delivery.

BEGIN {
    report = parameter("report")
    key = parameter("idempotency_key")
    as_of = parameter("as_of")

    open(parameter("insights"), "team,weight,title,text")
    while (next_row(parameter("insights")) > 0) {
        if (!(row[1] in found)) team[++teams] = row[1]
        found[row[1]]++
        if (!(row[1] in weight) || row[2] + 0 > weight[row[1]]) {
            weight[row[1]] = row[2] + 0
            subject[row[1]] = row[3]
        }
        body[row[1]] = body[row[1]] "* " row[3] "\n  " row[4] "\n\n"
    }

    target = main_place()
    print "team,file,subject" > target
    for (i = 1; i <= teams; i++) {
        file = team[i] ".txt"
        write_message(place(file), team[i])
        print team[i] "," file "," quoted(subject[team[i]]) > target
    }
    close(target)

    say("messages", teams)
    exit
}

function write_message(file, to) {
    print "To: " to "@example.com" > file
    print "Subject: [customer analytics, " as_of "] " subject[to] > file
    print "Idempotency-Key: " key ":" to > file
    print "" > file
    printf "%s", body[to] > file
    print "The whole report: " report > file
    close(file)
}
