"""A session description inside a multipart body."""


def test_an_offer_inside_a_multipart_body_is_used(world):
    body = b"--x\r\nContent-Type: application/sdp\r\n\r\n" + world.a.sdp() + b"\r\n--x--\r\n"
    world.a.call(body=body, headers=(("Content-Type", "multipart/mixed;boundary=x"),))
    world.net.run(1)
    assert world.a.statuses[-1] == 200
    assert world.b.invites[0].request.content_type == "application/sdp"
    world.a.hang_up()
    world.assert_clean()


def test_an_invite_whose_multipart_body_has_no_sdp_counts_as_offerless(world):
    body = b"--x\r\nContent-Type: text/plain\r\n\r\nhello\r\n--x--\r\n"
    world.a.call(body=body, headers=(("Content-Type", "multipart/mixed;boundary=x"),))
    assert world.b.invites[0].request.body == b""
